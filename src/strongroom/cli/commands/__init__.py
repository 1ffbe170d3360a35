"""One module per group of commands; `cli.verbs` says which. A module offers `COMMANDS` and is imported only when it is needed."""
