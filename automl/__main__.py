"""`python -m automl`: the same as the command `automl`."""


def run() -> None:
    """Run the command that the arguments of the process name."""
    from automl.cli import main

    main()


if __name__ == "__main__":
    run()
