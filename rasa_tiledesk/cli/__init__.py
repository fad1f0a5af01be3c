"""The `rasa-tiledesk` command: one file a command, and `main` that lists them."""
