"""Tables of results in pages of the documentation: rows of new runs are written to them.

write_tables("docs/results.md", [Table("start", header, by_keys(lines))])
"""

import collections

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError

BEGIN, END = "<!-- %s -->", "<!-- end of %s -->"  # lines around a table of a page
NUM_KEYS = 2  # columns that identify a row: data set, and start or way
Table = collections.namedtuple("Table", "name header rows")  # rows: {key: line}


def by_keys(lines):
    """{key of a row: its line}."""
    return collections.OrderedDict(
        (tuple(line.split("|")[1 : 1 + NUM_KEYS]), line) for line in lines
    )


def lines_of(table):
    rule = "|---" * (table.header.count("|") - 1) + "|"
    return [table.header, rule] + list(table.rows.values())


def write_tables(path, tables):
    """Writes rows to the tables of a page: replaces rows with the same key, appends new ones."""
    text = files.read_text(path)
    for table in tables:
        begin, end = BEGIN % table.name, END % table.name
        if begin not in text or end not in text:
            raise UserError("%s: expected the lines %s and %s around a table" % (path, begin, end))
        head, rest = text.split(begin, 1)
        old, rest = rest.split(end, 1)
        rows = by_keys(old.strip().split("\n")[2:])
        rows.update(table.rows)
        lines = lines_of(table._replace(rows=rows))
        text = "\n".join([head + begin] + lines + [end + rest])
    with output_files.atomic_write(path) as handle:
        handle.write(text)
