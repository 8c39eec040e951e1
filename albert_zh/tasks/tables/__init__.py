"""Tables of labelled rows: lines, headers, columns, labels."""
