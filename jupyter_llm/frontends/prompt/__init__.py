"""What was typed, whatever the front end."""
