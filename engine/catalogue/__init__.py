"""Cities, cinemas, auditoriums with their layouts, movies and showtimes: what is shown where and when."""
