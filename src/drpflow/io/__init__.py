"""Reading and writing: the only part of drpflow that touches the files of a run."""
