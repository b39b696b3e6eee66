-- Cities, cinemas, layouts, auditoriums, movies, showtimes.

CREATE TABLE cities (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug     text NOT NULL UNIQUE,
    name     text NOT NULL,
    timezone text NOT NULL
);

CREATE TABLE cinemas (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    city_id  integer NOT NULL REFERENCES cities,
    slug     text NOT NULL UNIQUE,
    name     text NOT NULL,
    address  text NOT NULL DEFAULT '',
    timezone text NOT NULL,
    policy   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX cinemas_by_city ON cinemas (city_id);

-- A layout never changes: a changed hall is another layout. Its id is the version on the wire.
CREATE TABLE layouts (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     text NOT NULL UNIQUE,
    name       text NOT NULL,
    seat_count integer NOT NULL CHECK (seat_count BETWEEN 1 AND 65000),
    tiers      text[] NOT NULL,
    body       jsonb NOT NULL
);

CREATE TABLE auditoriums (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cinema_id integer NOT NULL REFERENCES cinemas,
    name      text NOT NULL,
    layout_id integer NOT NULL REFERENCES layouts,
    UNIQUE (cinema_id, name)
);

CREATE TABLE movies (
    id               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug             text NOT NULL UNIQUE,
    title            text NOT NULL,
    synopsis         text NOT NULL DEFAULT '',
    duration_minutes integer NOT NULL CHECK (duration_minutes BETWEEN 1 AND 1000),
    rating           text NOT NULL DEFAULT '',
    genres           text[] NOT NULL DEFAULT '{}'
);

-- The showtime's number is the low 32 bits of every hold id.
CREATE TABLE showtimes (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id BETWEEN 1 AND 4294967295),
    auditorium_id integer NOT NULL REFERENCES auditoriums,
    movie_id      integer NOT NULL REFERENCES movies,
    layout_id     integer NOT NULL REFERENCES layouts,
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    sales_open_at timestamptz NOT NULL,
    sales_stop_at timestamptz NOT NULL,
    -- OPEN covers SCHEDULED, ON_SALE and ENDED, which follow from the clock.
    status        text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'FROZEN', 'CANCELLED')),
    status_reason text,
    prices        jsonb NOT NULL,
    currency      char(3) NOT NULL,
    policy        jsonb NOT NULL DEFAULT '{}',
    -- How often its seats were loaded into Redis; the high byte of owner numbers.
    load_count    integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > starts_at),
    CHECK (sales_stop_at <= ends_at),
    CHECK (sales_open_at < sales_stop_at),
    -- One film at a time in an auditorium; the next may begin the moment this one ends. A range of one integer
    -- stands for equality, so that no extension is needed.
    CONSTRAINT showtimes_apart EXCLUDE USING gist (
        int4range(auditorium_id, auditorium_id, '[]') WITH &&,
        tstzrange(starts_at, ends_at) WITH &&
    ) WHERE (status <> 'CANCELLED')
);
CREATE INDEX showtimes_by_auditorium ON showtimes (auditorium_id, starts_at);
CREATE INDEX showtimes_by_movie ON showtimes (movie_id, starts_at);
CREATE INDEX showtimes_by_start ON showtimes (starts_at);

-- A showtime with its place and film: what every reader of one or of many needs.
CREATE VIEW programme AS
SELECT s.id, s.status, s.status_reason, s.starts_at, s.ends_at, s.sales_open_at, s.sales_stop_at,
       s.layout_id, s.prices, s.currency, s.policy, c.policy AS cinema_policy,
       s.auditorium_id, a.name AS auditorium, a.cinema_id, c.name AS cinema, c.slug AS cinema_slug,
       t.name AS city, t.slug AS city_slug, t.id AS city_id, c.timezone,
       s.movie_id, m.title AS movie, m.slug AS movie_slug, m.rating, m.duration_minutes,
       l.seat_count
FROM showtimes s
JOIN auditoriums a ON a.id = s.auditorium_id
JOIN cinemas c ON c.id = a.cinema_id
JOIN cities t ON t.id = c.city_id
JOIN movies m ON m.id = s.movie_id
JOIN layouts l ON l.id = s.layout_id;

-- What operators' requests with an Idempotency-Key were answered, for 24 hours.
CREATE TABLE operator_requests (
    id          text PRIMARY KEY,
    fingerprint text NOT NULL,
    answer      jsonb,
    made_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operator_requests_by_age ON operator_requests (made_at);
