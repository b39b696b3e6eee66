-- Fix the number of partitions at the first start.
INSERT INTO deployment (partitions) VALUES ($1) ON CONFLICT (singleton) DO NOTHING;
