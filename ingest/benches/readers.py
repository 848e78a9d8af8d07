#!/usr/bin/env python3
"""BAM and FASTQ to Arrow, against samtools, oxbow and pysam on the same files and machine.

    cargo build --release -p unspool-ingest --example count_reads
    pip install pysam oxbow pyarrow            # and samtools from the system's packages
    python3 ingest/benches/readers.py BAM FASTQ.gz [--megabytes 80] [--runs 5]

Any BAM file and any gzip FASTQ file will do: they are repeated (`samtools cat`; plain copies) to about --megabytes. The
programs take turns; the table gives each one's least and median wall time, and both as shares of ours. samtools and
unspool are timed as processes, pysam and oxbow from the first call to the last row, without Python's start.
"""

import argparse, gzip, os, statistics, subprocess, sys, tempfile, time

EXAMPLE = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "examples", "count_reads")


def repeated(bam, fastq, size, folder):
    """A BAM file, and a FASTQ file in three forms, of about `size` bytes each."""
    inputs = {name: os.path.join(folder, "reads." + name) for name in ("bam", "fq", "fq.gz", "fq.bgz")}
    times = max(1, size // os.path.getsize(bam))
    with open(os.path.join(folder, "list"), "w") as names:
        names.write((os.path.abspath(bam) + "\n") * times)
    subprocess.run(["samtools", "cat", "-b", names.name, "-o", inputs["bam"]], check=True)
    text = gzip.open(fastq).read()
    text *= max(1, size // len(text))
    with open(inputs["fq"], "wb") as out:
        out.write(text)
    with gzip.open(inputs["fq.gz"], "wb", 6) as out:
        out.write(text)
    import pysam

    pysam.tabix_compress(inputs["fq"], inputs["fq.bgz"])
    return inputs


def process(*command):
    """Seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def oxbow(path, kind):
    import oxbow

    began = time.perf_counter()
    source = oxbow.from_bam(path) if kind == "bam" else oxbow.from_fastq(path, compression="gzip" if "gz" in path else None)
    rows = sum(batch.num_rows for batch in source.batches())
    assert rows > 0
    return time.perf_counter() - began


def pysam_bam(path, threads):
    import pysam

    began = time.perf_counter()
    rows = 0
    with pysam.AlignmentFile(path, threads=threads, check_sq=False) as file:
        for r in file.fetch(until_eof=True):
            r.query_name, r.query_sequence, r.query_qualities, r.flag, r.reference_name, r.reference_start
            r.mapping_quality, r.cigarstring, r.next_reference_name, r.next_reference_start, r.template_length
            rows += 1
    assert rows > 0
    return time.perf_counter() - began


def pysam_fastq(path):
    import pysam

    began = time.perf_counter()
    with pysam.FastxFile(path) as file:
        rows = sum(1 for r in file if r.name and r.sequence and r.get_quality_array())
    assert rows > 0
    return time.perf_counter() - began


def contestants(inputs):
    """For each input, what reads it: name and a function that gives seconds."""
    bam = inputs["bam"]
    ours = lambda path, *more: lambda: process(EXAMPLE, path, *more)
    columns = "id,sequence,quality"
    yield "BAM, all core columns", [
        ("unspool, 1 BGZF worker", ours(bam, "--workers", "1")),
        ("unspool, 2 BGZF workers", ours(bam, "--workers", "2")),
        ("unspool, no worker", ours(bam, "--workers", "0")),
        ("unspool, no worker, id + sequence + quality", ours(bam, "--workers", "0", "--columns", columns)),
        ("samtools view -c -@1 (counts only)", lambda: process("samtools", "view", "-c", "-@1", bam)),
        ("samtools view -c (counts only)", lambda: process("samtools", "view", "-c", bam)),
        ("samtools fastq (text out)", lambda: process("samtools", "fastq", bam)),
        ("oxbow", lambda: oxbow(bam, "bam")),
        ("pysam, 1 thread", lambda: pysam_bam(bam, 1)),
        ("pysam, 2 threads", lambda: pysam_bam(bam, 2)),
    ]
    for form in ("fq", "fq.gz", "fq.bgz"):
        path = inputs[form]
        bound = {"fq": "plain", "fq.gz": "gzip", "fq.bgz": "bgzip"}[form]
        yield f"FASTQ, {bound}", [
            ("unspool", ours(path)),
            ("samtools import -u", lambda: process("samtools", "import", "-u", "-0", path, "-o", "/dev/null")),
            ("oxbow", lambda: oxbow(path, "fastq")),
            ("pysam", lambda: pysam_fastq(path)),
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bam")
    parser.add_argument("fastq")
    parser.add_argument("--megabytes", type=int, default=80)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    if not os.path.exists(EXAMPLE):
        sys.exit(f"{EXAMPLE} is not there: cargo build --release -p unspool-ingest --example count_reads")
    with tempfile.TemporaryDirectory() as folder:
        inputs = repeated(options.bam, options.fastq, options.megabytes * 1_000_000, folder)
        print(", ".join(f"{name}: {os.path.getsize(path) / 1e6:.0f} MB" for name, path in inputs.items()))
        for title, field in contestants(inputs):
            seconds = {name: [] for name, _ in field}
            for _ in range(options.runs):
                for name, run in field:
                    seconds[name].append(run())
            report(title, seconds, seconds[field[0][0]])


def report(title, seconds, first):
    """Prints a table: wall times of each, and as multiples of the first one's."""
    print(f"\n{title:45} {'least s':>8} {'median s':>9} {'least x':>8} {'median x':>9}")
    for name, times in seconds.items():
        least, median = min(times), statistics.median(times)
        ratios = least / min(first), median / statistics.median(first)
        print(f"{name:45} {least:8.3f} {median:9.3f} {ratios[0]:8.2f} {ratios[1]:9.2f}", flush=True)


if __name__ == "__main__":
    main()
