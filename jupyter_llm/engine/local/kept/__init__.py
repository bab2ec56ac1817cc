"""Prefixes that outlive their slot: on disk, and in plain memory."""
