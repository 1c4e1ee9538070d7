-- Databases in other encodings: the extension installs, and its French message
-- has accents where the encoding has them.
CREATE EXTENSION campaign_autoclose;
SELECT current_database() AS regression \gset
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_autoclose_latin1;
DROP DATABASE IF EXISTS regress_autoclose_ascii;
DROP DATABASE IF EXISTS regress_autoclose_win1251;
CREATE DATABASE regress_autoclose_latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
CREATE DATABASE regress_autoclose_ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0;
CREATE DATABASE regress_autoclose_win1251 ENCODING 'WIN1251' LOCALE 'C' TEMPLATE template0;

-- LATIN1: o with circumflex is octet 364, e with acute is octet 351.
\c regress_autoclose_latin1
SHOW server_encoding;
CREATE EXTENSION campaign_autoclose;
SELECT source FROM campaign_create_tables();
INSERT INTO campaigns (status, started_at) VALUES ('sending', '2025-01-01 00:00+00');
INSERT INTO messages (campaign_id, status, sent_at)
SELECT id, message, '2025-01-01 00:00+00'
FROM campaigns, unnest('{sent,pending}'::text[]) AS message;
SELECT campaigns_closed, messages_marked FROM campaign_check_timeout(as_of => '2025-01-03 00:00:01+00');
SELECT status, encode(convert_to(error_message, getdatabaseencoding()), 'escape') AS octets
FROM messages ORDER BY status;

-- SQL_ASCII: nobody knows what an octet above 127 would mean.
\c regress_autoclose_ascii
SHOW server_encoding;
CREATE EXTENSION campaign_autoclose;
SELECT source FROM campaign_create_tables();
INSERT INTO campaigns (status, started_at) VALUES ('sending', '2025-01-01 00:00+00');
INSERT INTO messages (campaign_id, status, sent_at)
SELECT id, message, '2025-01-01 00:00+00'
FROM campaigns, unnest('{sent,pending}'::text[]) AS message;
SELECT campaigns_closed, messages_marked FROM campaign_check_timeout(as_of => '2025-01-03 00:00:01+00');
SELECT status, encode(convert_to(error_message, getdatabaseencoding()), 'escape') AS octets
FROM messages ORDER BY status;

-- WIN1251, Cyrillic: it has neither of the two letters.
\c regress_autoclose_win1251
SHOW server_encoding;
CREATE EXTENSION campaign_autoclose;
SELECT source FROM campaign_create_tables();
INSERT INTO campaigns (status, started_at) VALUES ('sending', '2025-01-01 00:00+00');
INSERT INTO messages (campaign_id, status, sent_at)
SELECT id, message, '2025-01-01 00:00+00'
FROM campaigns, unnest('{sent,pending}'::text[]) AS message;
SELECT campaigns_closed, messages_marked FROM campaign_check_timeout(as_of => '2025-01-03 00:00:01+00');
SELECT status, encode(convert_to(error_message, getdatabaseencoding()), 'escape') AS octets
FROM messages ORDER BY status;

\c :regression
-- UTF8: two octets each.
SHOW server_encoding;
SELECT source FROM campaign_create_tables();
INSERT INTO campaigns (status, started_at) VALUES ('sending', '2025-01-01 00:00+00');
INSERT INTO messages (campaign_id) SELECT id FROM campaigns;
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 00:00:01+00');
SELECT encode(convert_to(error_message, 'UTF8'), 'escape') AS octets FROM messages;
DROP DATABASE regress_autoclose_latin1 WITH (FORCE);
DROP DATABASE regress_autoclose_ascii WITH (FORCE);
DROP DATABASE regress_autoclose_win1251 WITH (FORCE);
