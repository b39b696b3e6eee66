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
    UNIQUE (auditorium_id, starts_at)
);
CREATE INDEX showtimes_by_movie ON showtimes (movie_id, starts_at);
CREATE INDEX showtimes_by_start ON showtimes (starts_at);
