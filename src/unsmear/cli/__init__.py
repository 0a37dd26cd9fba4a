"""The command; nothing else imports this room."""
