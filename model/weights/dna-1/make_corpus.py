#!/usr/bin/env python3
"""Makes the files that dna-1 was trained on from the folder of genomics data.

usage: make_corpus.py GENOMICS OUT

- ecoli.fa.gz    E. coli K-12 MG1655 as it is; the training file says which part is taken
- human.fa.gz    the training splits of the nine GUE tasks, each sequence once, without those that share a word of 32 bases,
                 on either strand, with a dev or test split of any task
- worm.fa.gz     the pieces of C. elegans; exon, intron and exon of the exon_intron file, joined
- small.fa.gz    phages lambda and phiX174, SARS-CoV-2, the human mitochondrion
"""
import gzip, pathlib, sys

data, out = map(pathlib.Path, sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)
WORD = 32
OTHER = str.maketrans("ACGT", "TGCA")


def read(path):
    return (gzip.open(path, "rt") if path.suffix == ".gz" else open(path)).read()


def write(name, records):
    text = "".join(f">{id}\n{bases}\n" for id, bases in records)
    (out / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(name, len(records), "records,", sum(len(bases) for _, bases in records), "bases")


def fasta(path):
    records = []
    for line in read(path).splitlines():
        if line.startswith(">"):
            records.append([line[1:].split()[0], []])
        else:
            records[-1][1].append(line.strip())
    return [(id, "".join(lines)) for id, lines in records]


def table(path):
    return [line.split(",")[0].upper() for line in read(path).splitlines()[1:]]


def words(bases):
    return (bases[i : i + WORD] for i in range(len(bases) - WORD + 1))


tasks = sorted((data / "classification/gue").iterdir())
held = set()
for task in tasks:
    for part in ["dev", "test"]:
        for bases in table(task / f"{part}.csv.gz"):
            for strand in [bases, bases.translate(OTHER)[::-1]]:
                held.update(words(strand))
human, dropped = {}, 0
for task in tasks:
    for i, bases in enumerate(table(task / "train.csv.gz")):
        if bases in human:
            continue
        if any(word in held for word in words(bases)):
            dropped += 1
        else:
            human[bases] = f"{task.name}_{i}"
print(f"left out of the training splits: {dropped} sequences that share {WORD} bases with a dev or test split")
write("human.fa.gz", [(id, bases) for bases, id in human.items()])
worm = fasta(data / "genomes/C.elegans_1pct.fa.gz")
for i, line in enumerate(read(data / "classification/exon_intron/eie.ce.txt.gz").splitlines()):
    worm.append((f"eie_{i}", "".join(line.split()[:3])))
write("worm.fa.gz", worm)
small = ["lambda_virus.fa.gz", "phiX174_NC_001422.fna", "SARS-CoV-2_NC_045512.2.fasta", "human_MT.fa"]
write("small.fa.gz", [record for name in small for record in fasta(data / "genomes" / name)])
write("ecoli.fa.gz", fasta(data / "genomes/ecoli_K12_MG1655_GCF_000005845.2.fna.gz"))
