"""Creates pre-training records with Apache Beam, the same set of records as `pipeline`.

    counts, notes = run(job, paths, outputs, "--runner=FlinkRunner --parallelism=64")

One step reads the text and splits it into shards, any number of workers create their records, and
grouping by random keys shuffles them. All workers must be able to access the files under the same
names.
"""

import collections
import logging
import os
import re
import shlex
from typing import Counter, Sequence, Tuple

from albert_zh.common import package_files
from albert_zh.common.errors import UserError
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import pipeline
from albert_zh.corpus import reader as corpus_reader

try:
    import apache_beam as beam
    from apache_beam.metrics import Metrics
    from apache_beam.options.pipeline_options import PipelineOptions
except ImportError as _error:
    raise UserError(
        "--runner=beam needs Apache Beam: pip install -r requirements-beam.txt, "
        "in a separate environment"
    ) from _error

_BUCKET_BYTES = 64 << 20
_BYTES_PER_BYTE = 10  # of records per byte of text and pass, at most
_KEY_BITS = 64
_NAMESPACE = "pretraining"
_NOTE = "note: "


def run(
    job: pipeline.Job, paths: Sequence[str], outputs: Sequence[str], options: str
) -> Tuple[Counter[str], corpus_counts.Notes]:
    """Creates record files.

    Args:
        job: `pipeline.Job`.
        paths: the text files.
        outputs: the files to write.
        options: Beam's own flags.

    Returns:
        (counts, notes) as for `pipeline.run`.

    Raises:
        UserError: if the text cannot be read or has no sentence pairs.
    """
    _let_workers_import_us()
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    expected = corpus_reader.total_bytes(paths) * job.dupe_factor * _BYTES_PER_BYTE
    num_buckets = int(expected // _BUCKET_BYTES // len(outputs)) + 1
    steps = beam.Pipeline(options=PipelineOptions(shlex.split(options)))
    shards = (
        steps
        | "Files" >> beam.Create([paths])
        | "Read" >> beam.ParDo(_ReadShards(job.text_format))
        | "SpreadShards" >> beam.Reshuffle()
    )
    records = shards | "MakeRecords" >> beam.ParDo(_MakeRecords(job, num_buckets))
    partitions = records | beam.Partition(_output_index, len(outputs), len(outputs))
    for index, (path, partition) in enumerate(zip(outputs, partitions)):
        shuffled = (
            partition
            | "Group%d" % index >> beam.GroupByKey()
            | "Sort%d" % index >> beam.FlatMap(_sorted_records)
        )
        shuffled | "Write%d" % index >> beam.io.WriteToText(
            path,
            shard_name_template="",
            append_trailing_newlines=False,
            coder=beam.coders.BytesCoder(),
        )
    counts, notes = _counts_and_notes(_finished(steps))
    pipeline.check_any(counts, paths, job.settings.one_segment)
    return counts, notes


def _let_workers_import_us():
    """Makes this package importable in the processes that the DirectRunner starts."""
    here = os.path.dirname(package_files.PACKAGE)
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = here + (os.pathsep + known if known else "")


class _ReadShards(beam.DoFn):
    """Reads the text files into shards, in one process, as a shard's number is its position."""

    def __init__(self, text_format):
        self._text_format = text_format

    def process(self, paths):
        first_sources = {}
        for shard in corpus_reader.read_shards(paths, self._text_format):
            for kind, source in shard.notes:
                source = first_sources.setdefault(kind, source)
                Metrics.counter(_NAMESPACE, "%s%s\t%s" % (_NOTE, kind, source)).inc()
            yield shard


class _MakeRecords(beam.DoFn):
    """Converts a shard to records: ((output number and bucket), (key, record)) for each."""

    def __init__(self, job, num_buckets):
        self._job = job
        self._num_buckets = num_buckets
        self._worker = None

    def setup(self):
        self._worker = pipeline.Worker(self._job)

    def process(self, shard):
        for records, keys, counts in self._worker.records(shard):
            for name, count in counts.items():
                Metrics.counter(_NAMESPACE, name).inc(int(count))
            for record, key in zip(records, keys.tolist()):
                yield key * self._num_buckets >> _KEY_BITS, (key, record)


def _output_index(record, num_outputs, _):
    _, (key, _) = record
    return key % num_outputs


def _sorted_records(bucket):
    """Returns the records of a bucket, sorted by their keys."""
    return [record for _, record in sorted(bucket[1])]


def _finished(pipeline):
    """Runs the pipeline and returns its result."""
    try:
        outcome = pipeline.run()
        outcome.wait_until_finish()
    except Exception as error:  # runners wrap errors in their own classes
        message = re.search(r"UserError: (.*?)(?: \[while running|\\n|\n|$)", repr(error))
        if message or isinstance(error, UserError):
            text = message.group(1) if message else str(error).split(" [while running")[0]
            raise UserError(text) from error
        raise
    return outcome


def _counts_and_notes(outcome):
    counts, notes = collections.Counter(), corpus_counts.Notes()
    for metric in outcome.metrics().query()["counters"]:
        name = metric.key.metric.name
        if metric.key.metric.namespace != _NAMESPACE:
            continue
        if name.startswith(_NOTE):
            notes.update([tuple(name[len(_NOTE) :].split("\t"))], metric.result)
        else:
            counts[name] += metric.result
    return counts, notes
