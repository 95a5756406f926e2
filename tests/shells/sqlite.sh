# sqlite3's shell, a database with a write-ahead log, and writers and readers at the same time.
set -eu
cd /tmp
sqlite3 a.db 'pragma journal_mode = wal' 'create table t (writer, number)'

write() {
    seq 1 50 | sed "s/.*/insert into t values ($1, &);/" | sqlite3 -cmd '.timeout 60000' a.db
}
for writer in 1 2 3; do write "$writer" & done
seen=0
while [ "$seen" -lt 150 ]; do
    now=$(sqlite3 -readonly -cmd '.timeout 60000' a.db 'select count(*) from t')
    [ "$now" -ge "$seen" ]
    seen=$now
done
wait

sqlite3 a.db 'select writer, count(*), sum(number) from t group by writer'
sqlite3 a.db 'pragma integrity_check' 'pragma wal_checkpoint(truncate)' 'pragma journal_mode'
sqlite3 a.db .dump | sqlite3 b.db
sqlite3 b.db "attach 'a.db' as a" 'select count(*) from (select * from t except select * from a.t)'
sqlite3 -json b.db 'with recursive n(i) as (select 1 union all select i + 1 from n where i < 5)
    select i, i * i as square from n'
printf 'name,size\none,1\ntwo,22\n' > c.csv
sqlite3 :memory: '.mode csv' '.import c.csv c' '.mode column' 'select * from c order by size desc'
sqlite3 a.db 'begin; delete from t; rollback; select count(*) from t'
sqlite3 a.db 'insert into missing values (1)' 2> /dev/null || echo "an error ends with $?"
