"""The subcommands of ``drpflow``, a module each: ``add_arguments(parser)``, ``run(args)``."""
