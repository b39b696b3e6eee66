-- What ends some time after the show, and a second look at bookings that cannot be expired at once.

ALTER TABLE bookings
    -- When the worker looks next at an overdue booking whose end could not be settled; NULL before its first look.
    ADD COLUMN look_due    timestamptz,
    -- When the seats of an ended booking were removed; the booking itself stays.
    ADD COLUMN archived_at timestamptz;
DROP INDEX bookings_pending;
-- Whatever comes later: its deadline, or the next look. (GREATEST passes over NULL.)
CREATE INDEX bookings_pending ON bookings (greatest(expires_at, look_due)) WHERE status = 'PENDING';
CREATE INDEX bookings_to_archive ON bookings (updated_at)
    WHERE status IN ('EXPIRED', 'CANCELLED') AND archived_at IS NULL;

-- Words that were sent long ago are forgotten.
CREATE INDEX announcements_spread ON announcements (spread_at) WHERE spread_at IS NOT NULL;
CREATE INDEX notifications_ended ON notifications (ended_at) WHERE status IN ('SENT', 'SUPERSEDED');
CREATE INDEX reminders_done ON reminders (created_at) WHERE due_at IS NULL;
CREATE INDEX webhook_deliveries_by_announcement ON webhook_deliveries (announcement_id);
