"""`python -m automl`: the same as the command `automl`."""


def run() -> None:
    """Run the command line given in `sys.argv`."""
    from automl.cli import main

    main()


if __name__ == "__main__":
    run()
