"""Many photos: planned, overlapped, resumable, on one machine or on many."""
