-- Ask for a rebuild that we do ourselves: workers leave it to us for 15 s. What waits for a person is left, unless $3.
INSERT INTO rebuilds (showtime_id, reason, automatic, tried_at) VALUES ($1, $2, true, now())
ON CONFLICT (showtime_id) DO UPDATE SET automatic = true, asked_at = clock_timestamp(), tried_at = now()
    WHERE rebuilds.automatic OR $3::boolean
RETURNING showtime_id;
