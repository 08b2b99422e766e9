-- Roles, quotas and row policies of database dwiarah. Run it as an administrator, with clickhouse-client --queries-file; it may be repeated. A grant or a policy may name
-- what does not exist, so that it comes before sink migrate as well as after it.
-- On a cluster put ON CLUSTER behind each name, or keep access entities in Keeper (user_directories: replicated). What ends in _local is there on a cluster only.
-- Views run with the rights of whoever asks, so a role needs the tables below a view as well; that is also what keeps message_texts from whoever may not read message_bodies.

CREATE ROLE IF NOT EXISTS analyst;
CREATE ROLE IF NOT EXISTS reviewer;
CREATE ROLE IF NOT EXISTS reporter;
CREATE ROLE IF NOT EXISTS writer;
CREATE ROLE IF NOT EXISTS migrator;

-- An analyst reads everything but texts.
GRANT SELECT ON dwiarah.* TO analyst;
REVOKE SELECT ON dwiarah.message_bodies, SELECT ON dwiarah.message_bodies_local, SELECT ON dwiarah.message_texts, SELECT ON dwiarah.message_texts_local FROM analyst;

-- A reviewer reads texts too.
GRANT SELECT ON dwiarah.* TO reviewer;

-- Reports and panels: figures, and the log of the reports.
GRANT SELECT ON dwiarah.* TO reporter;
REVOKE SELECT ON dwiarah.message_bodies, SELECT ON dwiarah.message_bodies_local, SELECT ON dwiarah.message_texts, SELECT ON dwiarah.message_texts_local FROM reporter;
GRANT INSERT ON dwiarah.report_runs TO reporter;

-- The sink, and enrich where it reads labels and texts: rows in, erasure by mutations, which waits until replaced parts have left the disk. It makes and drops no table.
GRANT SELECT, INSERT, ALTER DELETE, ALTER UPDATE ON dwiarah.* TO writer;
GRANT SELECT ON system.parts TO writer;

-- sink migrate. It drops no data: a view is replaced by exchanging it with one of a passing name, and a calendar by way of a passing table. Where the database is not there yet, it is made from
-- default, in which nothing else is allowed.
GRANT SHOW DATABASES ON default.* TO migrator;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE, ALTER VIEW, SELECT, INSERT ON dwiarah.* TO migrator;
GRANT DROP TABLE ON dwiarah._tmp_replace_* TO migrator;
GRANT DROP TABLE ON dwiarah.business_spans_* TO migrator;

-- People read and change nothing: 2 lets them set limits for a query of their own, within these bounds.
CREATE SETTINGS PROFILE OR REPLACE dwiarah_people SETTINGS
    readonly = 2,
    max_execution_time = 60 MAX 300,
    max_memory_usage = 4000000000 MAX 8000000000,
    max_result_rows = 1000000 MAX 10000000,
    max_threads = 4 MAX 8
    TO analyst, reviewer;
CREATE SETTINGS PROFILE OR REPLACE dwiarah_reports SETTINGS max_execution_time = 300, max_memory_usage = 8000000000 TO reporter;

-- Whoever asks the views; the sink makes the reports. Expressions are not compiled to machine code: the engine does it at the fourth asking, and over the rows of one
-- institution it takes longer than it ever gains. Nor is a hash table made for each thread: what is joined to the messages is small.
CREATE SETTINGS PROFILE OR REPLACE dwiarah_views SETTINGS
    compile_expressions = 0,
    compile_aggregate_expressions = 0,
    compile_sort_description = 0,
    join_algorithm = 'hash'
    TO analyst, reviewer, reporter, writer;

CREATE QUOTA OR REPLACE dwiarah_people KEYED BY user_name
    FOR INTERVAL 1 hour MAX queries = 2000, read_rows = 5000000000, execution_time = 1800
    TO analyst, reviewer;

-- Policies are not replaced: between the old one and the new one everything could be read. A table that is new in the list gets its own.
-- Whose data a person may read stands in the table reader_institutions: (user, institution), '*' for all of them. Without a row there: none.
CREATE ROW POLICY IF NOT EXISTS dwiarah_readers ON
    dwiarah.message_facts, dwiarah.message_facts_local,
    dwiarah.message_bodies, dwiarah.message_bodies_local,
    dwiarah.settled_requests, dwiarah.settled_requests_local,
    dwiarah.kept_months, dwiarah.kept_months_local,
    dwiarah.coverage_ledger, dwiarah.coverage_ledger_local,
    dwiarah.account_counts, dwiarah.account_counts_local,
    dwiarah.message_labels, dwiarah.message_labels_local,
    dwiarah.tombstones, dwiarah.tombstones_local,
    dwiarah.visibility_changes, dwiarah.visibility_changes_local
    USING institution IN (SELECT institution FROM dwiarah.reader_institutions WHERE reader = currentUser()) OR '*' IN (SELECT institution FROM dwiarah.reader_institutions WHERE reader = currentUser())
    TO analyst, reviewer;
-- Where a table has policies, roles without one would see nothing.
CREATE ROW POLICY IF NOT EXISTS dwiarah_services ON
    dwiarah.message_facts, dwiarah.message_facts_local,
    dwiarah.message_bodies, dwiarah.message_bodies_local,
    dwiarah.settled_requests, dwiarah.settled_requests_local,
    dwiarah.kept_months, dwiarah.kept_months_local,
    dwiarah.coverage_ledger, dwiarah.coverage_ledger_local,
    dwiarah.account_counts, dwiarah.account_counts_local,
    dwiarah.message_labels, dwiarah.message_labels_local,
    dwiarah.tombstones, dwiarah.tombstones_local,
    dwiarah.visibility_changes, dwiarah.visibility_changes_local
    USING 1 TO writer, migrator, reporter;
