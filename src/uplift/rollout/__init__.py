"""Staged rollouts: waves, gates, locks and the record of runs, over pyinfra as a child process."""
