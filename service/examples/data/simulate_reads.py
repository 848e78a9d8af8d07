"""Draws the reads of lambda_reads.fq.gz from the genome in lambda.fa.gz: the same bytes at every run.

Usage: python3 simulate_reads.py lambda.fa.gz lambda_reads.fq.gz
"""

import gzip
import random
import sys

READS, LENGTH, ERROR_RATE = 500, 150, 0.005
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def main(genome_path, reads_path):
    with gzip.open(genome_path, "rt") as lines:
        genome = "".join(line.strip() for line in lines if not line.startswith(">"))
    draw = random.Random(1)
    records = []
    for number in range(1, READS + 1):
        start = draw.randrange(len(genome) - LENGTH + 1)
        read = genome[start : start + LENGTH]
        forward = draw.random() < 0.5
        if not forward:
            read = read.translate(COMPLEMENT)[::-1]
        bases, qualities = [], []
        for base in read:
            wrong = draw.random() < ERROR_RATE
            bases.append(draw.choice([other for other in "ACGT" if other != base]) if wrong else base)
            qualities.append("#" if wrong else "I")
        strand = "+" if forward else "-"
        name = f"lambda_{number} {start}-{start + LENGTH} {strand}"
        records.append(f"@{name}\n{''.join(bases)}\n+\n{''.join(qualities)}\n")
    with open(reads_path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as out:
        out.write("".join(records).encode())


main(*sys.argv[1:])
