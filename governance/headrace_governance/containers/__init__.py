"""Opening packed files under limits of size, ratio and time: archives, compressed streams, long XML."""
