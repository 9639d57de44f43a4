"""Reading and writing."""  # noqa: A005 - mirrors drpflow.io
