"""What runs of an application: its logs, commands in it, and its removal from hosts."""
