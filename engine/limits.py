"""Every limit of the system, with its unit in its name, and how the limits relate.

Defaults that an operator may change live in `settings.py`; a number here is a property of the design.
Checked in Python before a call, and once more inside the Lua script that depends on it.
"""

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# --- Partitions and numbers
PARTITIONS = 64
"""Fixed for the life of a deployment; recorded in the ledger and compared at start."""
SHOWTIME_NUMBER_MAX = 2**32 - 1
"""A showtime's number fills the low 32 bits of every hold id."""
CLUSTER_SLOTS = 16_384

# --- Seats and layouts
SEATS_PER_LAYOUT_MAX = 65_000
"""A seat's index is stored in two bytes."""
SEATS_PER_HOLD_CEILING = 18
"""With more seats a hold record outgrows the 64 bytes that Redis keeps in its compact hash encoding."""
SEATS_PER_BLOCK_MAX = 2_000
"""One `block_seats` call; bounds the time of the script."""
SEAT_LABEL_LENGTH_MAX = 24
LUA_CHUNK = 1_000
"""Values per `unpack` inside Lua; the interpreter fails near 8,000."""

# --- Catalogue
COORDINATE_MAX = 1_000_000
"""Pixels of a layout in either direction."""
CATALOGUE_NAME_LENGTH_MAX = 200
CATALOGUE_TEXT_LENGTH_MAX = 4_000
MOVIE_DURATION_MAX_MINUTES = 1_000
PRICE_MAX_MINOR = 10**12
SHOWTIME_LENGTH_MAX_MINUTES = 24 * 60
SHOWTIMES_AHEAD_MAX_DAYS = 3 * 366
SHOWTIME_CACHE_TTL_MS = 5 * SECOND_MS
"""How long a process trusts what it read of a showtime; the gate in Redis has no such delay."""
SEAT_COUNT_CACHE_TTL_MS = 3 * SECOND_MS
LEDGER_PATIENCE_MS = 300
"""How long a reader who has an older value waits for a fresh one."""
LEDGER_IDLE_MAX_MS = 10 * SECOND_MS
"""How long a transaction may do nothing: a process that froze amid one would keep its rows from all others."""
REDIS_CALLS_AT_ONCE_MAX = 50
"""Showtimes that an operator's act for many of them tells Redis of at once."""
SEAT_COUNT_TIMEOUT_MS = 500
"""How long a list of showtimes waits for the numbers of free seats; it comes without them then."""
SHOWTIMES_CACHED_MAX = 20_000
LAYOUTS_CACHED_MAX = 200
RENEWED_AT_ONCE_MAX = 200
"""Showtimes that a process reads anew together, so that its loop is not held up for long."""
MAPS_KEPT_MAX = 100
"""Seat maps, as written last, that a process keeps for those who ask next; none that is larger than the following."""
MAP_KEPT_MAX_BYTES = 128 * 1024

# --- Requests
PATHS_REMEMBERED_MAX = 4_096
"""Paths of which a process remembers where they lead to."""
RATE_WINDOW_MS = MINUTE_MS
"""A bucket holds this long's worth of requests, and is filled again in the same time."""
RATE_BUCKETS_MAX = 50_000
"""Callers whose bucket a process knows without asking Redis."""
RATE_SETTING_MAX = 1_000_000
READS_PER_REPORT = 10
"""Reading requests are told to Redis in such lots: one each would make every read a write."""
IPV6_SITE_BITS = 64
"""Whoever has one IPv6 address has all of its network."""

# --- Holds
HOLD_TTL_MAX_MS = DAY_MS
EXTENSIONS_PER_HOLD_MAX = 10
PAYMENT_RETRIES_MAX = 3
"""How often a failed payment moves a booking's deadline."""
PAYMENT_RETRY_TTL_MS = 5 * MINUTE_MS
HOLDS_PER_CUSTOMER_CEILING = 20
SEATS_PER_CUSTOMER_CEILING = 1_000
CUSTOMER_SHOWTIMES_MAX = 50
"""Showtimes that are looked through for the holds of one customer."""
CUSTOMER_HINT_GRACE_MS = HOUR_MS
"""How much longer than its latest hold the hint about a customer's showtimes is kept."""
REPLAY_GRACE_MS = 10 * MINUTE_MS
"""A remembered success outlives the deadline of its hold by this much."""

COOL_DOWN_MEMORY_MS = HOUR_MS
"""A customer who has let no hold lapse for so long begins anew."""
COOL_DOWN_MAX_MS = 15 * MINUTE_MS
"""However many holds were left to lapse, no pause is longer."""
COOL_DOWN_FREE_LAPSES_CEILING = 100

# --- Time spent on one request
CALL_BUDGET_MS = 2_000
"""A script that Redis reaches later than this after it was sent refuses to run (`too_late`)."""
WEBHOOK_WAIT_MS = 8_000
"""How long a gateway's event waits for its outcome in the ledger before it is told to come again."""
OUTCOME_POLL_MS = 250
CAPTURE_SETTLE_AFTER_MS = 10 * SECOND_MS
"""A capture without an outcome for so long is settled by the worker."""
WEBHOOK_TOLERANCE_S = 300

# --- Gateways
SIGNATURES_PER_EVENT_MAX = 8
"""Signatures looked at in one header; bounds the work that a stranger can ask for."""
GATEWAY_TIMEOUT_S = 5
GATEWAY_SIMULATE_TIMEOUT_S = 20
"""A simulated outcome answers only after our own webhook did, which may wait for the ledger."""
GATEWAY_DELIVERY_TIMEOUT_S = 15
"""How long the fake gateway waits for the answer to an event."""
GATEWAY_RETRY_MIN_MS = 500
GATEWAY_RETRY_MAX_MS = MINUTE_MS
"""The fake gateway asks again after growing pauses, until it is told 2xx."""
GATEWAY_LATE_MS = 2 * SECOND_MS
"""A late payment of the fake gateway comes so long after its session has expired."""
GATEWAY_REFUND_TIMEOUT_S = 10
GATEWAY_DELIVERIES_MAX = 32
"""Events that the fake gateway delivers at the same time."""
GATEWAY_FAULT_MAX_MS = MINUTE_MS
"""How long the fake gateway may be told to hold back an answer or an event."""
RECONCILE_EVERY_MS = 15 * SECOND_MS
"""How often a gateway is asked what has happened there."""
RECONCILE_GRACE_MS = 10 * SECOND_MS
"""What is younger is left to the webhook."""
RECONCILE_OVERLAP_MS = MINUTE_MS
"""How far before the newest known event it is asked: events may become visible out of order."""
RECONCILE_LEASE_MS = 20 * SECOND_MS
"""If the worker whose turn it is dies, another one asks after so long."""
RECONCILED_AT_ONCE_MAX = 8
STRIPE_KEYS_PER_REFUND_MAX = 20
"""Remembered failures of a refund that are stepped over in one attempt."""
STRIPE_NAME_LENGTH_MAX = 250
GATEWAY_PAGE_MAX = 500
"""Events that it lists in one answer."""

# --- Outgoing webhooks
DELIVERY_LIFE_MS = 3 * DAY_MS
"""After the event; an attempt that fails later is the last."""
DELIVERY_PAUSE_MIN_MS = 5 * SECOND_MS
DELIVERY_PAUSE_FACTOR = 4
DELIVERY_PAUSE_MAX_MS = 8 * HOUR_MS
"""Pauses between attempts grow from one to the other, and no `Retry-After` asks for more."""
DELIVERY_TIMEOUT_S = 15
"""One attempt, with everything from the name to the answer."""
DELIVERY_LEASE_MS = MINUTE_MS
"""A delivery whose worker has died is sent again so long after it was taken."""
DELIVERY_ANSWER_MAX_BYTES = 1_024
"""What is read, and kept, of an answer."""
DELIVERY_ANSWER_TIMEOUT_S = 2
"""For its body, once the status is there."""
DELIVERY_ERROR_LENGTH_MAX = 200
DELIVERIES_PER_ENDPOINT_MAX = 4
"""Attempts of one worker at one endpoint at the same time."""
DELIVERIES_AT_ONCE_MAX = 128
DELIVERIES_KEPT_MS = 30 * DAY_MS
"""How long the log of what was delivered, or given up, is kept."""
FORGET_DELIVERIES_EVERY_MS = MINUTE_MS
ADDRESSES_TRIED_MAX = 3
"""Of an endpoint's name, one after another."""
NAME_LOOKUP_TIMEOUT_S = 5
NAME_LOOKUPS_AT_ONCE_MAX = 32
ENDPOINT_FAILING_MAX_MS = DELIVERY_LIFE_MS - HOUR_MS
"""An endpoint that failed at everything for so long is switched off when the next event is given up. An event is given
up a whole life after it happened; its first failure comes a little later than that."""
ENDPOINT_URL_LENGTH_MAX = 2_000
ENDPOINT_SECRET_BYTES = 32
ENDPOINT_SECRETS_MAX = 3
ENDPOINT_SECRET_OVERLAP_MS = DAY_MS
"""How long the former secrets sign beside a new one."""

# --- Refunds
REFUND_ATTEMPTS_MAX = 5
"""After so many attempts, of which the last one surely failed, a person must see to a refund."""
REFUND_TRIES_CEILING = 2 * REFUND_ATTEMPTS_MAX
"""The same while nobody knows what came of the last one."""
REFUNDS_AT_ONCE_MAX = 8
"""Refunds that one worker asks the gateway for at the same time."""
REFUND_LEASE_MS = 30 * SECOND_MS
"""A refund whose worker has died is taken up by another one after so long."""
REFUND_RETRY_GROWTH = 8
"""Each pause between attempts is so many times as long as the one before: five attempts outlast an outage of a quarter
of an hour."""
REFUND_RETRY_MAX_MS = HOUR_MS
REFUND_TEXT_LENGTH_MAX = 500
"""What a customer or an operator may write about one."""
REFUND_LOOK_MAX_MS = 6 * HOUR_MS
"""A refund that the gateway works on is asked after at least so often."""
REFUND_PENDING_MAX_MS = 14 * DAY_MS
"""One that it works on for longer is a matter for a person."""

# --- Keys and streams
KEYS_OUTLIVE_SHOW_MS = DAY_MS
ARCHIVE_AFTER_MS = 30 * DAY_MS
"""So long after its end an EXPIRED or CANCELLED booking loses its seats in the ledger; money for it then goes back."""
FACTS_PER_BATCH_MAX = 500
FACTS_WITHOUT_TURN_MIN = 50
"""So many facts in one transaction are worth a core of PostgreSQL's beside another reader's."""
TURN_WAIT_MAX_MS = 250
"""So long a reader lets another one of its process go first with few facts."""
FACT_READERS_CEILING = 16
LAPSES_PER_CALL_MAX = 100
HOLDS_ENDED_PER_CALL_MAX = 25
"""Holds of a cancelled showtime that one call ends; each may write a fact."""
FACTS_READ_BLOCK_MS = 500
"""How long the worker's reader waits for new facts before it looks at its other duties."""
FACTS_AWAY_RETRY_MS = 500
"""How long a partition whose node failed is left alone."""
FACT_GAP_MS = 10 * SECOND_MS
"""A fact that waits so long for one before it waits for a lost one."""
TRIM_EVERY_MS = 5 * SECOND_MS
EXPIRE_HOLDS_EVERY_MS = 500
REBUILD_EVERY_MS = 250
DUTY_EVERY_MS = SECOND_MS
FIND_LOST_FACTS_EVERY_MS = 5 * SECOND_MS
FORGET_REQUESTS_EVERY_MS = MINUTE_MS
ARCHIVE_EVERY_MS = MINUTE_MS
WORDS_KEPT_MS = 90 * DAY_MS
"""How long announcements, sent notifications and past reminders are kept. Money is never forgotten."""
DUTY_BACKOFF_MAX_MS = 30 * SECOND_MS
DUTY_BATCH_MAX = 50
"""Things that one round of a duty takes up."""
WORKER_BEAT_MS = SECOND_MS
WORKER_STALE_MS = 10 * SECOND_MS
"""A worker whose heartbeat is older loses its session and its partitions."""
LOAD_NONCE_TTL_MS = 3 * SECOND_MS
"""How long a load of somebody who died keeps others from loading."""
LOAD_BEAT_MS = SECOND_MS
"""How often a load says that it goes on, however long the ledger takes."""
LOAD_WAIT_MS = 5 * SECOND_MS
"""How long a restore may wait for facts on their way to the ledger, and for somebody else's load."""
LOAD_POLL_MS = 25
CUSTOMERS_PER_PART_MAX = 1_000
"""Customers installed by one call of a load."""

# --- The lane
LANE_QUEUE_MAX = 4_096
"""Calls waiting for Redis on one connection; beyond it the caller is told `overloaded` at once."""
LANE_WRITE_COMMANDS = 16
"""So many commands leave without waiting for others of their turn: five claims with what is noted beside them."""
LANE_CONNECT_MAX_MS = 2_000
"""How long one attempt to connect may take."""
LANE_BACKOFF_MIN_MS = 50
LANE_BACKOFF_MAX_MS = 2_000
"""Pauses between attempts to connect grow from one to the other."""
LANE_TICK_MS = 500
LANE_SILENT_TICKS_MAX = 6
"""A connection that owes answers and is silent for so many ticks is given up."""
NOSCRIPT_REPEATS_MAX = 8
"""How often one call is repeated after Redis had forgotten its script."""
CLUSTER_LOOK_MS = 5_000
"""How often the map of a cluster's slots is read anew when nothing seems amiss."""
CLUSTER_LOOK_AMISS_MS = 200
"""How often while a node cannot be reached, or nobody has a partition."""
CLUSTER_ASK_MAX_MS = 500
"""How long one node may take to tell who has which slots."""
SENTINEL_ASK_MAX_MS = 500
"""How long one sentinel may take to name the master."""
REDIRECT_PAUSE_MIN_MS = 5
REDIRECT_PAUSE_MAX_MS = 100
"""Pauses between the tries of one call whose seats are on their way to another node grow from one to the other."""
KEY_NAMES_CACHED_MAX = 16_384
"""Key names that a process keeps ready, per showtime and script."""

# --- Cancelled showtimes
CANCELLABLE_AFTER_END_MS = 7 * DAY_MS
"""So long after its end a showtime may still be cancelled: the projector breaks in the middle of a show."""
CANCELLED_BOOKINGS_PER_BATCH_MAX = 100
"""Bookings that one transaction ends or pays back; others wait for its locks."""
CANCELLATION_SLICE_MS = SECOND_MS
"""How long a worker stays at one cancellation before it looks at the others."""
CANCELLATION_POLL_MS = 500
"""How often the command looks how far a cancellation is."""
RESTOCKS_AT_ONCE_MAX = 4
"""Calls that claims on showtimes of the same partition may find before them."""
RESTOCKED_TICKETS_PER_ROUND_MAX = 200
"""Tickets whose seats one round gives back to stock."""

# --- Seat maps
SNAPSHOTS_PER_SHOWTIME_MAX = 1_024
"""Older seat maps of one showtime that a process keeps to answer `since`."""
SNAPSHOTS_BYTES_MAX = 64 * 1024 * 1024
"""All of them together."""

REDIS_POOL_MAX = 16
"""Connections for all that is no script: streams, wake-ups, probes."""

# --- Audits
AUDIT_SHOWTIMES_PER_BATCH = 100
"""Showtimes compared at a time: of one moment in the ledger, and all in memory."""
AUDIT_READS_AT_ONCE = 12
"""Showtimes read from Redis at the same time, each over a connection of its own."""
AUDIT_LOOK_AGAIN_MS = SECOND_MS
"""What an act in two steps needs at most; a difference that is gone after so long was none."""
AUDIT_OPEN_CAPTURE_MS = MINUTE_MS
"""Money that has no outcome for so long is a difference."""
AUDIT_OVERDUE_MS = 10 * MINUTE_MS
"""Work of the worker that is overdue by so much is a difference."""
AUDIT_STATEMENT_TIMEOUT_S = 300
REBUILDS_AT_ONCE_MAX = 4
"""Showtimes that one command builds anew at the same time."""

# --- E-tickets
TICKET_PRINTS_AT_ONCE = 1
"""Documents made at the same time; each keeps a processor busy, and shares the interpreter with the event loop."""
TICKET_PRINTS_WAITING_MAX = 50
TICKET_KID_MAX = 255
"""A code names its key in one byte."""
GATE_LENGTH_MAX = 100

# --- Accounts
REFRESH_TOKEN_TTL_S = 30 * 24 * 3600
REFRESH_REPEAT_MS = 30 * SECOND_MS
"""How long a refresh token may be used again: the first answer may have been lost."""
LOGIN_FAILURES_MAX = 10
LOGIN_WINDOW_MS = 15 * MINUTE_MS
"""So many log-ins may fail for one e-mail in this time."""
TOKEN_SECRET_BYTES_MIN = 32
"""What HMAC-SHA256 needs to be as strong as its hash."""
TOKEN_LEEWAY_S = 30
"""How far the clock of an outside issuer may be from ours."""
JWKS_REFRESH_MS = 10 * MINUTE_MS
JWKS_FETCH_MIN_MS = 10 * SECOND_MS
"""The keys are not asked for more often than this, whatever keys the tokens of strangers name."""
JWKS_TIMEOUT_S = 5
JWKS_BYTES_MAX = 256 * 1024
JWKS_KEYS_MAX = 100
RSA_KEY_BITS_MIN = 2_048
TOKEN_LENGTH_MAX = 4_096
TOKENS_REMEMBERED_MAX = 10_000
SUBJECTS_REMEMBERED_MAX = 10_000
"""Customers of whom a process remembers the bytes by which Redis knows them."""
"""Verified tokens kept per process; verifying one costs more than the rest of a claim."""
PASSWORD_LENGTH_MIN = 8
PASSWORD_LENGTH_MAX = 256
PASSWORD_HASHES_AT_ONCE = 2
"""Each takes one core and 64 MiB while it runs."""
PASSWORD_QUEUE_MAX = 64
EMAIL_LENGTH_MAX = 254

# --- Notifications
ANNOUNCEMENTS_PER_BATCH_MAX = 500
"""Announcements that one transaction spreads; a cancelled showtime brings thousands."""
NOTIFICATIONS_PER_BATCH_MAX = 80
"""Notifications that a worker takes at once."""
NOTIFICATIONS_AT_ONCE_MAX = 4
"""Lines to a mail server, or to whoever takes messages, that a worker opens beside each other."""
NOTIFICATION_TIMEOUT_S = 20
"""How long connecting, and then each answer of a mail server, may take."""
NOTIFICATION_BATCH_MAX_S = 120
"""How long a batch may take; what is left of it then is another batch's."""
NOTIFICATION_LEASE_MS = 3 * MINUTE_MS
"""A notification whose worker has died is tried again after this."""
NOTIFICATION_ATTEMPTS_MAX = 12
"""Attempts that a server answered, or dropped; then a person must look. One that reached no server does not count."""
NOTIFICATION_RETRY_MIN_MS = 5 * SECOND_MS
NOTIFICATION_RETRY_MAX_MS = HOUR_MS
"""Pauses between attempts grow from one to the other."""
NOTIFICATION_ERROR_LENGTH_MAX = 500
REMIND_BEFORE_MS = 3 * MINUTE_MS
"""How long before its deadline somebody is reminded of an unpaid booking; of a shorter one, after half of its time."""
REMIND_EVERY_MS = 5 * SECOND_MS
REMINDER_PATIENCE_MS = 500
"""How long a check-out waits for the ledger to take down a reminder; it comes without one then."""
LOOKUP_EVERY_MS = 10 * MINUTE_MS
"""One mail in this time for one booking and address, however often somebody asks."""
MAIL_SINK_MESSAGE_BYTES_MAX = 8 * 1024 * 1024
MAIL_SINK_MESSAGES_MAX = 2_000
"""Mails that the mailbox of `dev` keeps; older ones go."""

# --- Alternatives for taken seats
ALTERNATIVES_MAX = 3
ALTERNATIVES_WEIGHED_MAX = 12
"""Of the groups of free seats whose middle is nearest, so many are compared seat by seat."""
ALTERNATIVES_REACH_SEATS = 120
"""How far from the wanted seats others are looked for, in indexes of the layout."""
ALTERNATIVES_MAP_TTL_MS = 500
ALTERNATIVES_MAPS_MAX = 1_000

# --- HTTP
REQUESTS_AT_ONCE_MAX = 2_000
"""Requests that one process works on at once, mostly waiting for others; one more is told `overloaded`."""
TURN_MAX_MS = 25
"""While a turn of the event loop takes longer, those who come are told `overloaded`: an answer takes a few turns."""
REQUESTS_ALWAYS_SERVED = 256
"""Unless it is fewer that are worked on: what takes long then is something else. Few enough to be answered within a
second where the machine is half as fast as usual; of 512 at once many came too late there."""
HEADERS_MAX_BYTES = 32 * 1024
"""The first line and all headers of a request."""
HEADERS_MAX = 100
HEADERS_TIMEOUT_MS = 10 * SECOND_MS
"""How long a client may take to send them."""
BODY_TIMEOUT_MS = 15 * SECOND_MS
"""How long the body may take, from the end of the headers."""
ANSWER_TIMEOUT_MS = 30 * SECOND_MS
"""How long an answer may be in coming; beyond it the outcome is unknown."""
CORS_PREFLIGHT_TTL_S = 7_200
BODY_MAX_BYTES = 64 * 1024
CATALOGUE_BODY_MAX_BYTES = 8 * 1024 * 1024
"""Operators upload seating plans."""
PAGE_LIMIT_DEFAULT = 50
PAGE_LIMIT_MAX = 200
SHOWTIMES_PER_BULK_MAX = 500
SEAT_MAP_VERSION_MAX = 2**53 - 1
"""The largest version that a JavaScript client can give back, and far beyond any that we make."""
REQUEST_ID_LENGTH_MAX = 128
IDEMPOTENCY_KEY_LENGTH_MAX = 255

# --- Processes that `dev` keeps
PORT_MAX = 65_535
DATABASE_POOL_CEILING = 1_000
SOCKET_PATH_BYTES_MAX = 103
"""The kernel takes 107 bytes (Linux) or 103 (macOS) for the path of a unix socket."""
LOG_MAX_BYTES = 8 * 1024 * 1024
"""A log larger than this begins anew at the next start."""
RESTART_PAUSE_MAX_S = 10.0

assert SEATS_PER_LAYOUT_MAX < 2**16
assert SEATS_PER_HOLD_CEILING <= SEATS_PER_CUSTOMER_CEILING < 2**15
assert max(SEATS_PER_HOLD_CEILING, HOLDS_PER_CUSTOMER_CEILING) < 2**8
assert 23 + 2 * SEATS_PER_HOLD_CEILING <= 64, "a hold record must fit Redis' compact hash encoding"
assert COOL_DOWN_FREE_LAPSES_CEILING < 2**8
assert COOL_DOWN_MAX_MS < 2**32
assert CLUSTER_SLOTS % PARTITIONS == 0
assert LUA_CHUNK < 8_000
assert OUTCOME_POLL_MS < WEBHOOK_WAIT_MS < CAPTURE_SETTLE_AFTER_MS
assert CALL_BUDGET_MS < WEBHOOK_WAIT_MS
assert 2 * LOAD_BEAT_MS < LOAD_NONCE_TTL_MS < LOAD_WAIT_MS, "who waits for a load that died, loads"
assert FACTS_READ_BLOCK_MS <= WORKER_BEAT_MS
assert TURN_WAIT_MAX_MS <= WORKER_BEAT_MS
assert FACTS_WITHOUT_TURN_MIN <= FACTS_PER_BATCH_MAX
assert FACT_READERS_CEILING <= PARTITIONS
assert WORKER_BEAT_MS * 5 <= WORKER_STALE_MS
assert CALL_BUDGET_MS <= LANE_SILENT_TICKS_MAX * LANE_TICK_MS, "a call is given up only when it can no longer run"
assert LANE_BACKOFF_MIN_MS < LANE_BACKOFF_MAX_MS
assert BODY_MAX_BYTES < CATALOGUE_BODY_MAX_BYTES
assert ALTERNATIVES_MAX <= ALTERNATIVES_WEIGHED_MAX
assert WEBHOOK_WAIT_MS < BODY_TIMEOUT_MS < ANSWER_TIMEOUT_MS
assert GATEWAY_SIMULATE_TIMEOUT_S * SECOND_MS < ANSWER_TIMEOUT_MS
assert TOKEN_LENGTH_MAX < HEADERS_MAX_BYTES
assert WEBHOOK_WAIT_MS < GATEWAY_DELIVERY_TIMEOUT_S * SECOND_MS, "the gateway must wait for a 503 that we give"
assert GATEWAY_DELIVERY_TIMEOUT_S < GATEWAY_SIMULATE_TIMEOUT_S
assert GATEWAY_RETRY_MIN_MS < GATEWAY_RETRY_MAX_MS
assert DELIVERIES_KEPT_MS <= WORDS_KEPT_MS, "a delivery goes before what it tells"
assert DELIVERY_PAUSE_MIN_MS < DELIVERY_PAUSE_MAX_MS < DELIVERY_LIFE_MS < DELIVERIES_KEPT_MS
assert 2 * DELIVERY_TIMEOUT_S * SECOND_MS < DELIVERY_LEASE_MS, "a living worker has its answer before the lease ends"
assert NAME_LOOKUP_TIMEOUT_S < DELIVERY_TIMEOUT_S
assert DELIVERIES_PER_ENDPOINT_MAX <= DELIVERIES_AT_ONCE_MAX
assert 2 * GATEWAY_REFUND_TIMEOUT_S * SECOND_MS < REFUND_LEASE_MS, "the living are not taken for dead"
assert NOTIFICATION_RETRY_MIN_MS < NOTIFICATION_RETRY_MAX_MS
assert NOTIFICATION_BATCH_MAX_S * SECOND_MS < NOTIFICATION_LEASE_MS, "two workers never send the same at once"
assert RECONCILE_EVERY_MS + RECONCILE_LEASE_MS + RECONCILE_GRACE_MS < MINUTE_MS, (
    "no money waits for longer than a minute"
)
assert AUDIT_READS_AT_ONCE < REDIS_POOL_MAX, "an audit leaves connections to what else asks Redis"
