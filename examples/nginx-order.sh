#!/bin/sh
# Keeps an nginx upstream in the order of an imgmon pool. Needs curl and awk.
#
#     sh nginx-order.sh http://127.0.0.1:8720 image /run/imgmon nginx -s reload
#
# Writes the upstream `image` to /run/imgmon/image.conf, with /run/imgmon/TARGET.sock for each target,
# and runs the command after each change. IMGMON_TOKEN is sent where reading asks for a token. While
# the daemon is away the last order stands.
set -eu
url=$1 pool=$2 folder=$3
shift 3
version= failed=
while :; do
  # 60 s pass before a long poll is answered anew.
  if printf '%s\n' "${IMGMON_TOKEN:+Authorization: Bearer $IMGMON_TOKEN}" |
    curl -fsS -m 90 -H @- -D "$folder/$pool.headers" -o "$folder/$pool.order" \
      "$url/v1/pools/$pool/priority?format=text${version:+&wait=60&version=$version}"
  then
    # The first that our account may call, then the others as backups; never nobody.
    awk -F '\t' -v pool="$pool" -v folder="$folder" '
      { target[NR] = $1; usable[NR] = $3 == "yes"; if (usable[NR] && !first) first = NR }
      END {
        if (!NR) exit 1
        if (!first) first = 1
        print "upstream " pool " {"
        for (i = 1; i <= NR; i++) {
          role = i == first ? "" : usable[i] ? " backup" : " down"
          print "    server unix:" folder "/" target[i] ".sock max_fails=0" role ";"
        }
        print "}"
      }' "$folder/$pool.order" > "$folder/$pool.new"
    version=$(awk 'tolower($1) == "x-imgmon-order-version:" { print $2 + 0 }' "$folder/$pool.headers")
    if [ -n "$failed" ] || ! cmp -s "$folder/$pool.new" "$folder/$pool.conf"; then
      mv "$folder/$pool.new" "$folder/$pool.conf"
      # What cannot be loaded now (nginx does not run yet) is tried again with the next answer.
      if "$@"; then failed=; else failed=yes; sleep 1; fi
    fi
  else
    sleep 5
  fi
done
