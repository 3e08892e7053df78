"""Backups of a subject's data: settings, what a host has of them, and the difference."""
