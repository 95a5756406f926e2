# What bash scripts do: every construct that needs another process, and some that do not.
set -u
shopt -s lastpipe

echo "pipeline: $(printf '%s\n' pear apple fig | sort | head -n 2 | tr '\n' ' ')"
echo "nested: $(echo "$(echo "$(echo deep)")")"
(cd /usr && echo "subshell: $PWD"); echo "still: $PWD"

cat <<END | sed 's/^/here: /'
a document
with $((6 * 7)) lines or so
END
grep -c . <<< "one word"

sleep 0.05 & first=$!
(exit 5) & second=$!
wait "$second"; echo "background: $?"
wait "$first"; echo "sleep: $?"

trap 'echo "trapped USR1"' USR1
kill -USR1 $$
trap - USR1
trap 'echo "leaving with $?"' EXIT

(kill -TERM $BASHPID); echo "killed: $?"
(ulimit -n 64; ulimit -n)
false | true | (exit 3); echo "statuses: ${PIPESTATUS[*]}"
exec 7> /tmp/out; echo "through a descriptor" >&7; exec 7>&-; cat /tmp/out
diff <(seq 1 3) <(seq 1 4) | tail -n 1
echo a b c | read -r x y z; echo "read: $z$y$x"

count() { local n=0; while read -r _; do n=$((n + 1)); done; echo "$n"; }
seq 1 500 | count
coproc tr a-z A-Z; echo loud >&"${COPROC[1]}"; exec {COPROC[1]}>&-; cat <&"${COPROC[0]}"
for i in $(seq 1 20); do /bin/true || echo "no: $i"; done
head -c 64M /dev/zero | cat | wc -c
exit 9
