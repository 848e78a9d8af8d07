"""The parts that `.ci/figures` measures: commands, and the claims that their output holds.

In commands `{name}` is filled by `figures.Place`. A claim is a text, what is wanted of it ("" where nothing was asked), a pattern that finds it in
the output of the part's commands, and a form for what the pattern found.
"""

import dataclasses, re


@dataclasses.dataclass
class Claim:
    text: str
    wanted: str
    pattern: str
    form: str = "{}"

    def measured(self, output):
        """What was measured, in its form; `None`: the output has no such thing."""
        found = re.search(self.pattern, output, re.M)
        return found and self.form.format(*(number(text) for text in found.groups()))


def number(text):
    """With commas, as in 1,234; a dash for what is not there."""
    if text is None:
        return "-"
    return f"{int(text):,}" if re.fullmatch(r"\d{4,}", text) else text


@dataclasses.dataclass
class Part:
    on: str  # cpu or gpu
    what: str
    needs: str
    quick: list
    whole: list
    claims: list


def beside_peers(line, wanted=""):
    """A line of the encoder beside its peers."""
    pattern = rf"^{line} +(\S+) +(\S+) +(\S+) +(\S+)(?: x)? +(\S+)"
    return Claim(f"{line}: tokens/s; candle, HF; ratios", wanted, pattern, "{}; {}, {}; {}, {}")


def load(line):
    """A line of a server's load."""
    return Claim(f"{line}: events/s served; p50 / p99 / p99.9, ms", "", rf"^{re.escape(line)} +\d+ +\d+ +(\d+) +(\S+) +(\S+) +(\S+)", "{}; {} / {} / {}")


def serve(horizon):
    """What `bench serve` tells; `horizon`: the model forecasts."""
    loads = ["calls, 1 event", "calls, 64 events", "stream, 250 a message, 1 event"] + (["calls, 1 event + 24 ahead"] if horizon else [])
    ahead = [Claim("the same with a forecast of 24 after each event", "", r"^Stream, \d+ a message: updates and forecasts of 24 +(\d+) +(\d+ %)", "{} events/s, {}")]
    return [
        Claim("a single event's Append less the encoder's own time, of a bare tonic echo, 99 % of the calls", "at most 2 x", r"^Append less the encoder.* (\S+)$", "{} x"),
        Claim("rounds of one event for each of 1,000 sessions through Stream, of the encoder's own rate", "70 %", r"^Stream, \d+ a message: updates +(\d+) +(\d+ %)", "{} events/s, {}"),
        *(ahead if horizon else []),
        Claim("Embed of 64 sequences of 1,024 events, of a plain loop over the model", "at most 1.15 x", r"^Embed +\S+ +(\S+) of it", "{} x"),
        Claim("served at ten times what the server can take, of its full rate", "all", r"^served +\d+ +(\d+ %)"),
        Claim("sessions lost then", "none", r"^sessions lost +(\d+)"),
        *map(load, loads),
    ]


def card(shape, wanted):
    """A line of `bench encoder`: time, rate, the peer's time and rate, ratio."""
    backbone, batch = shape
    pattern = rf"^{re.escape(backbone)} +{re.escape(batch)} +(\S+) +(\S+)(?: +(\S+) +(\S+) +(\S+))?"
    return Claim(f"{backbone}, {batch}: ms, Mtok/s; mamba-ssm's, ratio", wanted, pattern, "{}, {}; {}, {}, {}")


def batch(order, name, wanted):
    return [
        Claim(f"{name}: forecasts of 24, of the encoder's own rate", "at least 0.9 x", rf"^forecasts, {order}: job / encoder alone +(\S+) x", "{} x"),
        Claim(f"{name}: values/s of the job", "", rf"^forecasts, {order}: job +(\S+) values/s"),
        Claim(f"{name}: peak memory, GiB", wanted, rf"^forecasts, {order}: peak memory of the job +(\S+) GiB"),
        Claim(f"{name}: two workers of a thread each, of one", "at least 1.7 x", rf"^forecasts, {order}: two workers of a thread / one +(\S+) x", "{} x"),
        Claim(f"{name}: reading alone, of pyarrow's time", "at most 1.2 x", rf"^{order}: scan / pyarrow +(\S+) x", "{} x"),
    ]


def reader(line):
    return Claim(f"{line}: least seconds", "", rf"^{re.escape(line)} +(\S+)")


SMALL, LARGE = "Mamba-1 d=256, 8 layers", "Mamba-1 d=768, 24 layers"
TIMESERIES, GENOMICS = "{data}/timeseries", "{data}/genomics"
BATCH_CLAIMS = batch("by series", "one series after the other", "at most 2") + batch("by time", "ordered by time", "at most 5")

PARTS = {
    "encoder": Part(
        "cpu", "Encoder, f32, random weights", "HF's columns need UNSPOOL_PYTHON with torch and transformers",
        ["cargo run --release --quiet --manifest-path model/benches/peers/Cargo.toml -- {torch}"],
        ["cargo run --release --quiet --manifest-path model/benches/peers/Cargo.toml -- {torch}", "{bench_encoder}"],
        [
            *(beside_peers(f"d=768, 24 layers: {line}") for line in ("prefill 512", "step, batch 1")),
            *(beside_peers(f"d=256, 8 layers: {line}") for line in ("prefill 2048", "step, batch 1")),
            Claim("d=768, 64 steps at once, tokens/s", "", r"^d=768, 24 layers: step, batch 64 +(\S+)"),
            Claim("d=256, 64 steps at once, tokens/s", "", r"^d=256, 8 layers: step, batch 64 +(\S+)"),
            Claim("prefill of d=768, of the matrix products alone", "", r"^Mamba-1 d=768 x24 +\S+ +\S+ +(\S+%)"),
            Claim("prefill of d=256, of the matrix products alone", "", r"^Mamba-1 d=256 x8 +\S+ +\S+ +(\S+%)"),
        ],
    ),
    "serve": Part(
        "cpu", "Service, series-3, client and server on the same cores", "nothing",
        ["{unspool} bench serve --device cpu --duration-s 1"],
        ["{unspool} bench serve --device cpu"],
        serve(horizon=True),
    ),
    "serve-dna": Part(
        "cpu", "Service, a DNA model of d=256 with 8 layers and random weights", "nothing",
        ["{unspool} bench serve --device cpu --model {dna_model} --duration-s 1"],
        ["{unspool} bench serve --device cpu --model {dna_model}"],
        serve(horizon=False),
    ),
    "stream": Part(
        "cpu", "Stream jobs on Apache Kafka, 1,000 series, series-3, 8 partitions, broker and job on the same cores", "Java 17 and Maven",
        *[[".ci/kafka.sh start {folder}/kafka 39092 >/dev/null; trap '.ci/kafka.sh stop {folder}/kafka' EXIT; {bench_stream} 127.0.0.1:39092"]] * 2,
        [
            Claim("JSON to Arrow, one thread, messages/s", "300,000", r"^decode JSON to Arrow, one thread +(\d+)"),
            Claim("raw consumer, messages/s", "", r"^raw consumer +(\d+)"),
            Claim("encoder alone, events/s", "", r"^encoder, \d+ series side by side +(\d+)"),
            Claim("the whole job, exactly once, messages/s, of the slower of the two", "80 %", r"^the whole job, exactly once +(\d+) messages/s: (\d+ %)", "{}, {}"),
            Claim("from message to score at 2,000 messages/s, commits every 50 ms", "p99 100 ms", r"^latency at .*?: (.*)$"),
            Claim("after a kill", "seconds stated", r"^after a kill: (.*)$"),
            Claim("states restored, with an event each, of reading files from the disk", "50 %", r"of \S+ MB of states (\S+ MB/s), (\d+ %)", "{}, {}"),
        ],
    ),
    "million": Part(
        "cpu", "A million series of a model of d=64 with 4 layers, more than fit in memory", "45 GB of disk, 12 GB of memory, 15 minutes",
        ["{bench_stream} series 2000 {folder}"],
        ["{bench_stream} series 1000000 {folder}"],
        [
            Claim("states", "39 GB on 24 GiB", r"^(\d+ series, .*)$"),
            Claim("first event of each", "", r"^round 1: (.*)$"),
            Claim("second event of each", "", r"^round 2: (.*)$"),
            Claim("after a restore", "", r"^restore of \d+ series: (.*)$"),
            Claim("one event more of every 997th", "the same bits as alone", r"^\d+ of them, one more event each: (.*)$"),
        ],
    ),
    "batch": Part(
        "cpu", "Batch jobs, series-3, a million rows of 1,000 series", "UNSPOOL_PYTHON with pyarrow",
        ["{unspool} bench batch --device cpu --python {python} --dir {folder} --rows 20000 --series 50 --runs 1"],
        ["{unspool} bench batch --device cpu --python {python} --dir {folder}"],
        BATCH_CLAIMS,
    ),
    "batch-full": Part(
        "cpu", "Batch jobs, series-3, ten million rows of 10,000 series", "UNSPOOL_PYTHON with pyarrow; 10 minutes",
        ["{unspool} bench batch --device cpu --python {python} --dir {folder} --rows 20000 --series 200 --runs 1"],
        ["{unspool} bench batch --device cpu --python {python} --dir {folder} --full --runs 1"],
        BATCH_CLAIMS,
    ),
    "readers": Part(
        "cpu", "Readers, files to Arrow with all core columns, least seconds of five; BAM and FASTQ of 80 MB", "samtools; UNSPOOL_PYTHON with pysam, oxbow and pyarrow; UNSPOOL_DATA",
        [f"test -x {{count_reads}}; {{python}} ingest/benches/readers.py {GENOMICS}/reads/lambda_combined_reads.unaligned.bam {GENOMICS}/reads/lambda_reads_1.fq.gz --megabytes 5 --runs 1"],
        [f"test -x {{count_reads}}; {{python}} ingest/benches/readers.py {GENOMICS}/reads/lambda_combined_reads.unaligned.bam {GENOMICS}/reads/lambda_reads_1.fq.gz"],
        [
            *(Claim(f"{title}: {who}, s", "", rf"^{title} [^$]*?^{re.escape(who)} +(\S+)") for title, who in [
                *(("BAM, all core columns", who) for who in ("unspool, 1 BGZF worker", "samtools view -c -@1 (counts only)", "samtools fastq (text out)", "oxbow", "pysam, 1 thread")),
                ("FASTQ, plain", "unspool"), ("FASTQ, plain", "samtools import -u"), ("FASTQ, plain", "oxbow"),
                ("FASTQ, gzip", "unspool"), ("FASTQ, gzip", "samtools import -u"), ("FASTQ, gzip", "oxbow"),
                ("FASTQ, bgzip", "unspool"), ("FASTQ, bgzip", "samtools import -u"), ("FASTQ, bgzip", "oxbow"),
            ]),
        ],
    ),
    "forecasts": Part(
        "cpu", "Forecasts: geometric means of ratios to the seasonal naive one, ten public sets, series-3", "UNSPOOL_DATA",
        *[[f"{{unspool}} eval forecast {TIMESERIES}/benchmark --device cpu --quiet"]] * 2,
        [
            Claim("7 sets, MASE / WQL", "0.743 / 0.537, aim 0.70 / 0.50", r"^  7 sets .* (\S+) +(\S+)$", "{} / {}"),
            Claim("5 sets, MASE", "0.609, aim 0.55", r"^  5 sets .* (\S+) +\S+$"),
            Claim("Chronos-Bolt base, 205 M, as published: 7 sets, MASE / WQL", "", r"^Chronos-Bolt base, 205 M .* (0\.76\d) +(\S+) *$", "{} / {}"),
            Claim("TiRex, 35 M, as published: 5 sets, MASE", "", r"^TiRex .* (\S+)$"),
        ],
    ),
    "validation": Part(
        "cpu", "Forecasts of series that were held out, series-3", "UNSPOOL_DATA; some minutes",
        *[[f"{{unspool}} eval forecast --validation {TIMESERIES}/extra --device cpu --quiet", f"{{unspool}} eval forecast --validation {TIMESERIES}/extra --model series-1 --device cpu --quiet | sed 's/^/series-1: /'"]] * 2,
        [
            Claim("short, or of low frequency: MASE", "7 % less than series-1", r"^  short, or of low frequency +\d+ .* (\S+) +\S+$"),
            Claim("the same of series-1", "", r"^series-1:   short, or of low frequency +\d+ .* (\S+) +\S+$"),
            Claim("all real series: MASE / WQL", "", r"^  all real series +\d+ .* (\S+) +(\S+)$", "{} / {}"),
            Claim("sessions of more than 20,000 values, of a fresh window of 4,096: MASE (95 %)", "no more than 1.00 x", r"^more than 20000 .* (\S+) +\S+  (\S+ to \S+)$", "{} x ({})"),
        ],
    ),
    "anomalies": Part(
        "cpu", "Anomaly scores, series-3", "UNSPOOL_DATA",
        *[[f"{{unspool}} eval anomaly {TIMESERIES}/anomaly/NAB --validation {TIMESERIES}/extra --device cpu"]] * 2,
        [
            Claim("NAB: standard / low FP / low FN", "beside the published", r"^NAB +standard[^$]*?^this model +(\S+) +(\S+) +(\S+)", "{} / {} / {}"),
            Claim("Numenta HTM, as published", "", r"^Numenta HTM.*? +(\d\S+) +(\S+) +(\S+)$", "{} / {} / {}"),
            Claim("Windowed Gaussian, as published", "", r"^Windowed Gaussian +(\S+) +(\S+) +(\S+)", "{} / {} / {}"),
            Claim("anomalies put into held-out series", "", r"^anomalies put into held-out series[^$]*?^this model +(\S+) +(\S+) +(\S+)", "{} / {} / {}"),
        ],
    ),
    "probe": Part(
        "cpu", "Series embeddings under a linear probe, mean accuracy of five sets", "UNSPOOL_DATA",
        *[[f"{{unspool}} eval embed {TIMESERIES}/classification --device cpu"]] * 2,
        [Claim(line, wanted, rf"^{line} .* (\S+)$") for line, wanted in [
            ("series-3, layer 6", "above simple statistics"), ("series-3, layer 12", ""), ("simple statistics", ""), ("random weights, layer 6", ""), ("random weights, layer 12", ""),
        ]],
    ),
    "scores": Part(
        "cpu", "Variant scores and DNA jobs, dna-1, E. coli", "UNSPOOL_DATA; some minutes",
        ["{bench_score} model/weights/dna-1 {ecoli} NC_000913.3 9"],
        [
            "{bench_score} model/weights/dna-1 {ecoli} NC_000913.3 24",
            f"{{bench_dna}} model/weights/dna-1 {GENOMICS}/reads/lambda_combined_reads.unaligned.bam {{ecoli}} NC_000913.3",
        ],
        [
            *(Claim(f"{density} variants a kb: fewer tokens than two runs each; less time", f"{wanted} x", rf"^\| {density} \|.*\| (\S+ x) \| \S+ x \|.*\| (\S+ x) \|$", "{}; {}") for density, wanted in [(1, 6), (4, 15), (40, 28)]),
            Claim("embeddings of a BAM's reads, of the encoder's rate", "90 %", r"^\| embeddings of reads .*\| (\S+ %) \|$"),
            Claim("a track, of the encoder's rate", "90 %", r"^\| track of a contig .*\| (\S+ %) \|$"),
        ],
    ),
    "chaos": Part(
        "cpu", "Sessions of a server that is killed at random, and 120,000 that come and go", "half an hour",
        ["UNSPOOL_CHAOS_KILLS=3 cargo test --release --quiet -p unspool --features full --test it -- chaos --nocapture", "UNSPOOL_SOAK_WAVES=3 cargo test --release --quiet -p unspool --features full --test it -- soak --nocapture"],
        ["UNSPOOL_CHAOS_KILLS=1000 cargo test --release --quiet -p unspool --features full --test it -- chaos --nocapture", "UNSPOOL_SOAK_WAVES=60 cargo test --release --quiet -p unspool --features full --test it -- soak --nocapture"],
        [
            Claim("all replies and sessions equal to the bit those of an undisturbed server", "all", r"^(\d+ kills, \d+ appends, .*)$"),
            Claim("memory and disk at the end of the soak", "bounded", r"^(\d+ waves of .*)$"),
        ],
    ),
    "gpu-encoder": Part(
        "gpu", "Encoder on a GPU, bf16 weights, f32 states, random weights, whole backbone, median of 20; beside mamba-ssm 2.3.2 on an H100, as measured for the design", "an NVIDIA card",
        ["{unspool} bench encoder --device cuda --weights bf16 --runs 2"], ["{unspool} bench encoder --device cuda --weights bf16"],
        [
            card((SMALL, "8 x 8192"), "14 Mtok/s"), card((SMALL, "64 x 1024"), ""), card((SMALL, "512 x 128"), "12 Mtok/s"), card((SMALL, "1 x 1048576"), "10 Mtok/s"),
            card((SMALL, "step, B=1"), "0.10 ms"), card((SMALL, "step, B=64"), ""), card((SMALL, "step, B=1024"), "0.32 ms"), card((SMALL, "step, B=8192"), "2.3 ms"),
            card((LARGE, "8 x 8192"), "1.6 Mtok/s"), card((LARGE, "step, B=1"), "0.45 ms"), card((LARGE, "step, B=8192"), "20 ms"),
        ],
    ),
    "gpu-sessions": Part(
        "gpu", "A value for running sessions and a forecast of 48 of each, series-3", "an NVIDIA card",
        *[["{unspool} bench forecast --device cuda", "{unspool} bench forecast --device cuda --weights bf16 | sed 's/^/bf16: /'"]] * 2,
        [
            Claim("one session, f32, ms", "1", r"^ +1 +1 +(\S+)"),
            Claim("one session, bf16, ms", "1", r"^bf16:  +1 +1 +(\S+)"),
            Claim("1,024 sessions, f32, series/s", "300,000", r"^ +1024 +1 .* (\S+)$"),
            Claim("1,024 sessions, bf16, series/s", "300,000", r"^bf16:  +1024 +1 .* (\S+)$"),
        ],
    ),
    "gpu-serve": Part(
        "gpu", "50,000 events a second over gRPC, 20,000 sessions of d=256 with 8 layers, client on the same machine", "an NVIDIA card",
        *[["{unspool} bench serve --model {dna_model} --device cuda --weights bf16 --rate 50000 --sessions 20000 --message 500 --connections 4 --session-memory-bytes 16000000000"]] * 2,
        [Claim("events/s served; p50 / p99 / p99.9, ms", "50,000; p99 20 ms", r"^stream, 500 a message, 1 event +\S+ +\d+ +(\d+) +(\S+) +(\S+) +(\S+)", "{}; {} / {} / {}")],
    ),
    "gpu-genomics": Part(
        "gpu", "dna-1: bits a base of held-out E. coli, and a logistic probe on nine GUE tasks", "an NVIDIA card; UNSPOOL_DATA; 5 minutes",
        [f"{{unspool}} eval genomics {GENOMICS} --device cuda --tasks none"], [f"{{unspool}} eval genomics {GENOMICS} --device cuda"],
        [
            Claim("bits a base, one state", "less than Markov's", r"^  the model, one state +(\S+)"),
            Claim("bits a base, windows of 8,192", "", r"^  the model, windows of 8,192 +(\S+)"),
            Claim("Markov, order 12", "", r"^  Markov, order 12 +(\S+)"),
            Claim("mean AUC of GUE: dna-1", "above 0.846 (Caduceus-Ph)", r"^AUC [^$]*?^  dna-1 .* (\S+)$"),
            Claim("dna-1 and k-mers", "above k-mers", r"^AUC [^$]*?^  dna-1 and k-mers .* (\S+)$"),
            Claim("3- to 5-mers alone", "", r"^AUC [^$]*?^  3- to 5-mers .* (\S+)$"),
        ],
    ),
    "gpu-long": Part(
        "gpu", "One sequence of 250 million random bases, embedded by dna-1 in windows of 1,000", "an NVIDIA card; 5 minutes",
        *[["ls {long_sequence} >/dev/null", "{unspool} embed {long_sequence} --device cuda --weights bf16 --pool window:1000 --output {folder}/long.parquet --quiet; echo embedded"]] * 2,
        [Claim("seconds, writing included", "30", r"^embedded\n+seconds of the command above: (\S+)")],
    ),
    "gpu-training": Part(
        "gpu", "Training, forward and backward", "an NVIDIA card, cargo and nvcc",
        *[["cargo run --release --quiet -p unspool-model --features cuda --example bench_training"]] * 2,
        [Claim("d=256, 8 layers, 64 x 512: rows in memory, Mtok/s on the card", "1.0", r"^d=256, 8 layers, 64 x 512 +\S+ +\S+ +(\S+)")],
    ),
}
