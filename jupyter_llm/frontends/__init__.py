"""Where people type and read: parse, call the API, show."""
