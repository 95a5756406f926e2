# What unmodified programs of Debian do, each in a directory of its own: a sentence, then the program's word for it.
# `facts.txt` is what this prints in a chroot of the same packages. An argument chooses those facts that have it.
set -u
wanted=${1-}

fact() {
    [[ $1 == *"$wanted"* ]] || return 0
    directory=$(mktemp -d)
    echo "$1"
    (cd "$directory" && exec timeout 30 bash -c "$(cat)" < /dev/null) 2>&1 | sed 's/^/  /'
    status=${PIPESTATUS[0]}
    [ "$status" = 0 ] || echo "  status $status"
    rm -rf "$directory"
}

fact 'bc and dc have as many digits as one likes' <<'END'
echo 'scale=50; 4*a(1); 2^200' | bc -l
echo '2 100 ^ p' | dc
END

fact 'bison and flex make a calculator, by m4' <<'END'
printf '%s\n' '%token N' '%%' 's: s N | ;' '%%' > sum.y
printf '%s\n' '%%' '[0-9]+ return 1;' > words.l
bison sum.y && flex words.l && ls
END

fact 'cpio copies a tree and its links' <<'END'
mkdir -p from/inner to; echo text > from/inner/file; ln -s inner/file from/soft; ln from/inner/file from/hard
find from -depth | cpio --quiet -pdm to
readlink to/from/soft; stat -c '%h %n' to/from/hard
find from | sort | cpio --quiet -o -H newc | cpio --quiet -t
END

fact 'ed and patch edit in place' <<'END'
printf '%s\n' a one two . 'w text' 2d 'w other' q | ed -s
diff -u text other > change; patch text change; cat text
END

fact 'expect talks with a shell on a terminal' <<'END'
cat > talk <<'TALK'
log_user 0
spawn -noecho bash --norc --noediting
send "echo \$((6 * 7)) \$(tty | cut -c 1-9)\r"
expect {
    "42 /dev/pts/" {puts "a terminal"}
    timeout {puts "no answer"}
}
send "sleep 100\r"; sleep 0.3; send "\003"; send "echo status=\$?\r"
expect {
    "status=130" {puts "interrupted"}
    timeout {puts "still there"}
}
send "exit 3\r"; expect eof
puts "ended with [lindex [wait] 3]"
TALK
expect -f talk
END

fact 'file knows a program and a script' <<'END'
file -b /usr/bin/bash | cut -c 1-40
echo '#!/bin/sh' > script; file script
END

fact 'GnuPG makes a key, signs and encrypts, by its agent' <<'END'
export GNUPGHOME=$PWD/keys; mkdir -m 700 keys
gpg --batch --quiet --passphrase '' --quick-generate-key 'Somebody <some@body>' ed25519 sign never 2> /dev/null
echo text > letter
gpg --batch --quiet --armor --detach-sign letter && head -n 1 letter.asc
gpg --batch --verify letter.asc letter 2>&1 | grep -c 'Good signature from "Somebody'
echo other > letter
gpg --batch --verify letter.asc letter 2>&1 | grep -c 'BAD signature'
echo secret | gpg --batch --quiet --passphrase p --pinentry-mode loopback --symmetric > locked
gpg --batch --quiet --passphrase p --pinentry-mode loopback --decrypt locked
gpgconf --kill gpg-agent
END

fact 'guile has threads, and children behind pipes' <<'END'
export GUILE_AUTO_COMPILE=0
guile-3.0 -c '
(use-modules (ice-9 threads) (ice-9 popen) (ice-9 rdelim))
(write (par-map (lambda (n) (expt n 20)) (list 1 2 3))) (newline)
(write (read-line (open-input-pipe "echo from a child"))) (newline)'
END

fact 'inotifywait tells of files that come and go' <<'END'
mkdir watched
stdbuf -oL inotifywait --quiet --monitor --format '%e %f' watched > events 2> problems &
while [ "$(grep -sc ^inotify /proc/$!/fdinfo/3)" != 1 ]; do sleep 0.1; done
echo x > watched/new; mv watched/new watched/moved; rm watched/moved
while ! grep -q DELETE events; do sleep 0.1; done
kill $!; cat events problems
END

fact 'jq computes with JSON' <<'END'
echo '{"a": [1, 2, {"b": 3}], "c": "x"}' | jq -c '.a[2].b, (.a | length), (.c | ascii_upcase), keys'
echo '{' | jq . 2> /dev/null || echo "status $?"
END

fact 'less reads from a pipe, and from a file' <<'END'
seq 3 | less; seq 2 > numbers; less numbers | cat
END

fact 'lua opens pipes and says why a file cannot be moved' <<'END'
lua5.4 -e 'local t = {} for i = 1, 1e5 do t[i] = tostring(i) end print(#table.concat(t))
    print(io.popen("echo from a child"):read("a")) print(os.rename("nothing", "something"))'
END

fact 'make runs four jobs at a time, and builds no more than is old' <<'END'
printf '%s\n' 'all: a b c d' 'a b c d: ; @sleep 0.3; echo made > $@' 'old: b a ; touch old' > Makefile
make -j4 && cat ? | sort | uniq -c
make; make old; make old; touch -d '1 minute ago' old; make -q old || echo "status $?"
printf 'jobs:\n\t+@echo $(filter -j%%,$(MAKEFLAGS))\nfails: ; exit 7\n' > inner.mk
make -j3 -f inner.mk jobs; make -f inner.mk fails || echo "status $?"
END

fact 'ninja builds in parallel, and again only what changed' <<'END'
printf '%s\n' 'rule copy' ' command = sleep 0.2 && cp $in $out' \
    'build a: copy in' 'build b: copy in' 'build c: copy a' > build.ninja
echo text > in; ninja -j4 --quiet; ninja; rm c; ninja | sed 's/.*\r//'; cat c
END

fact 'openssl makes keys and certificates, and encrypts' <<'END'
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -subj /CN=somebody -days 10 2> /dev/null
openssl x509 -in certificate -noout -subject; openssl verify -CAfile certificate certificate
echo text | openssl enc -aes-256-cbc -pbkdf2 -k word | openssl enc -d -aes-256-cbc -pbkdf2 -k word
openssl dgst -sha256 -sign key -out signature key && openssl pkey -in key -pubout -out public
openssl dgst -sha256 -verify public -signature signature key
openssl ecparam -name prime256v1 -genkey -noout | openssl ec -text -noout 2> /dev/null | head -n 1
END

fact 'openssl speaks TLS over a unix socket' <<'END'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout key -out certificate -subj /CN=server 2> /dev/null
openssl s_server -unix socket -key key -cert certificate -rev > log 2>&1 & server=$!
while ! test -S socket; do sleep 0.1; done
(echo reversed; sleep 1) | \
    openssl s_client -quiet -no_ign_eof -unix socket -CAfile certificate -verify_return_error 2> /dev/null
kill $server
END

fact 'parallel keeps the order of its jobs, and their status' <<'END'
export PARALLEL_HOME=$PWD
seq 8 | parallel --will-cite -k -j4 'sleep 0.$((9 - {})); echo {}' | xargs
parallel --will-cite -j2 exit ::: 0 3 0 4; echo "failed: $?"
END

fact 'perl has threads, forks and sockets' <<'END'
perl -Mthreads -Mthreads::shared -e '
my $sum :shared = 0;
$_->join for map { my $n = $_; threads->create(sub { for (1 .. 100) { lock($sum); $sum += $n } }) } 1 .. 4;
print "$sum\n";'
perl -MSocket -MPOSIX=:sys_wait_h -e '
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
if (!fork) { my $line = <$b>; syswrite $b, uc $line; exit 3 }
syswrite $a, "text\n"; print scalar <$a>; wait; print WEXITSTATUS($?), "\n";
$SIG{ALRM} = sub { print "an alarm\n" }; alarm 1; select undef, undef, undef, 5;
open my $no, "<", "nothing" or print "$!\n"'
END

fact 'redis serves a unix socket and saves by a fork' <<'END'
redis-server --port 0 --unixsocket socket --save '' --daemonize no > log & server=$!
cli() { redis-cli -s socket "$@"; }
while ! cli ping > /dev/null 2>&1; do sleep 0.1; done
cli set a 1; cli incr a; cli lpush list x y z; cli lrange list 0 -1
cli eval 'return redis.call("incrby", KEYS[1], 40)' 1 a
seq 5000 | sed 's/.*/set key:& value&/' | cli --pipe | tail -n 1
cli bgsave
while ! cli info persistence | grep -q '^rdb_bgsave_in_progress:0'; do sleep 0.1; done
cli info persistence | tr -d '\r' | grep rdb_last_bgsave_status
(cli blpop queue 0 > taken & sleep 0.3; cli rpush queue late; wait; cat taken)
cli shutdown save; wait $server; echo "status $?"
redis-server --port 0 --unixsocket socket --daemonize no > log & server=$!
while [ "$(cli dbsize 2> /dev/null)" != 5002 ]; do sleep 0.1; done
cli get a; kill $server; wait $server; echo "status $?"
END

fact 'rsync copies what changed, to itself' <<'END'
mkdir -p from/inner; echo 1 > from/inner/file; ln -s file from/inner/link; seq 100000 > from/large
rsync -a from/ to/; cat to/inner/link; echo 0 >> from/large; rm from/inner/link
rsync -a --delete --itemize-changes --no-times --checksum --no-whole-file from/ to/; diff -r from to && echo same
END

fact 'ruby has threads, children and sockets' <<'END'
ruby -rjson -rsocket -e '
puts JSON.generate(threads: 4.times.map { |n| Thread.new { (1..1000).sum * n } }.map(&:value), child: `echo hi`)
reader, writer = IO.pipe
pid = fork { writer.puts "from a child"; exit! 3 }
Process.wait pid
p reader.gets, $?.exitstatus
Process.kill :TERM, spawn("sleep 9")
p Process.wait2[1].termsig
server = UNIXServer.new "socket"
Thread.new { one = server.accept; one.puts one.gets.upcase }
client = UNIXSocket.new "socket"
client.puts "text"
puts client.gets
p Thread.new { Thread.stop }.tap { |one| Thread.pass until one.stop?; one.kill }.join.status
trap(:USR1) { puts "a signal" }
Process.kill :USR1, $$
sleep 0.1
begin; File.open "nothing"; rescue => why; puts why.message; end'
END

fact 'screen runs a program in the background' <<'END'
export SCREENDIR=$PWD/screens; mkdir -m 700 screens
screen -dmS mine sh -c 'echo hi > said; sleep 100'
while ! test -s said; do sleep 0.1; done
cat said; screen -ls | grep -c '\.mine.*Detached'; screen -S mine -X quit
while screen -ls | grep -q mine; do sleep 0.1; done
END

fact 'socat joins unix sockets and programs' <<'END'
socat UNIX-LISTEN:stream,fork EXEC:'tr a-z A-Z',pipes & one=$!
socat -u UNIX-RECV:packets OPEN:received,creat,append & two=$!
while ! test -S stream || ! test -S packets; do sleep 0.1; done
echo first | socat - UNIX-CONNECT:stream; echo second | socat - UNIX-CONNECT:stream
echo packet | socat -u - UNIX-SENDTO:packets
while ! test -s received; do sleep 0.1; done
cat received; kill $one $two
echo line | socat -t 5 - SYSTEM:'read x; echo got $x; tty',pty,setsid,ctty,echo=0 | tr -d '\r' | cut -c 1-9
END

fact 'sqlite3 keeps what was committed' <<'END'
sqlite3 base 'pragma journal_mode = wal; create table t (n, s);
    insert into t select value, hex(value) from generate_series(1, 2000);'
for i in 1 2 3; do sqlite3 base '.timeout 20000' "insert into t values ($i, 'more')" & done; wait
sqlite3 base "select count(*), sum(n) from t; pragma integrity_check"
sqlite3 base "begin; delete from t" "rollback" "select count(*) from t"
END

fact 'tclsh has big numbers, timers and pipelines' <<'END'
tclsh <<'TCL'
puts [expr {2**100}]; puts [exec echo hi | tr a-z A-Z]
after 50 {set done timed}; vwait done; puts $done
set f [open "|cat" r+]; puts $f text; flush $f; puts [gets $f]; close $f
catch {exec sh -c {exit 4}} message options; puts [lindex [dict get $options -errorcode] 2]
TCL
END

fact 'tmux shows what a shell in it prints' <<'END'
export LC_ALL=C.UTF-8
tmux() { command tmux -S socket "$@"; }
tmux -f /dev/null new-session -d -x 40 -y 5 'bash --norc'
tmux send-keys 'echo $((40 + 2)); stty size' Enter
while ! tmux capture-pane -p 2> /dev/null | grep -q -x '5 40'; do sleep 0.1; done
tmux capture-pane -p | grep -x -e 42 -e '5 40'
tmux split-window -d 'sleep 100'; tmux list-panes -F '#{pane_index} #{pane_width}x#{pane_height}'
tmux kill-server; while tmux ls 2> /dev/null; do sleep 0.1; done
END

fact 'util-linux locks, sets limits and makes terminals' <<'END'
flock lock -c 'flock -n lock true || echo locked'
getopt -o ab: --long first,second: -- -a -b c --second=d rest
prlimit --nofile=100 sh -c 'ulimit -n'; taskset -c 0 nproc; setsid -w echo session
script -qec 'tty | cut -c 1-9; exit 3' /dev/null | tr -d '\r'; script -qec 'exit 3' /dev/null; echo "status $?"
printf 'a bb\nccc d\n' | column -t; printf 'abc\n' | rev; cal 1 2000 | head -n 3
END

fact 'vim edits without a screen, and xxd goes there and back' <<'END'
printf 'b\na\nc\n' > text; vim.tiny -es -u NONE -c sort -c '%s/a/A/' -c wq text; cat text
xxd text; xxd -p text | xxd -r -p | cmp - text && echo same
END

fact 'zip, zstd, lz4 and pigz give back what they got' <<'END'
head -c 2000000 /usr/bin/bash > all; zip -q all.zip all; unzip -p all.zip | cmp - all && unzip -tq all.zip
zstd -q -T2 all -o all.zst; zstd -q -dc all.zst | cmp - all && echo zstd
lz4 -q all all.lz4; lz4 -dc all.lz4 | cmp - all && echo lz4
pigz -c -p 4 all | pigz -dc | cmp - all && echo pigz
head -c 1000 all.zst | zstd -q -t 2>&1 | tail -n 1
END
