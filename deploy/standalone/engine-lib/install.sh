#!/bin/sh
# Installs the ClickHouse engine library (libchdb) that the standalone binary and the tests run:
#   ${XDG_CACHE_HOME:-$HOME/.cache}/dwiarah/engine/<version>/libchdb.so
# It comes from npm as an ordinary package whose version and checksum package-lock.json pins. Nothing is built, nothing else is kept,
# and where the library is already there, nothing is done.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

case "$(uname -s)-$(uname -m)" in
Linux-x86_64) package=lib-linux-x64-gnu ;;
Linux-aarch64 | Linux-arm64) package=lib-linux-arm64-gnu ;;
Darwin-arm64) package=lib-darwin-arm64 ;;
Darwin-x86_64) package=lib-darwin-x64 ;;
*)
	echo "engine: there is no engine library for $(uname -s) on $(uname -m); put a clickhouse binary on PATH instead" >&2
	exit 1
	;;
esac

version=$(sed -n "s|.*\"@chdb/$package\": \"\([^\"]*\)\".*|\1|p" "$here/package.json")
if [ -z "$version" ]; then
	echo "engine: $here/package.json pins no version of @chdb/$package" >&2
	exit 1
fi

cache=${XDG_CACHE_HOME:-}
if [ -z "$cache" ]; then
	if [ -z "${HOME:-}" ]; then
		echo "engine: neither XDG_CACHE_HOME nor HOME is set, so there is no place to install to" >&2
		exit 1
	fi
	cache=$HOME/.cache
fi
target=$cache/dwiarah/engine/$version
library=$target/libchdb.so

if [ -s "$library" ]; then
	echo "engine: $library is there already"
	exit 0
fi

if ! command -v npm >/dev/null 2>&1; then
	echo "engine: npm is needed to fetch @chdb/$package@$version; install Node.js, or put a clickhouse binary on PATH instead" >&2
	exit 1
fi

# The staging folder lies beside the target, so that the last step is a rename: there is a whole library or none.
mkdir -p "$target"
staging=$(mktemp -d "$target/.staging.XXXXXX")
trap 'rm -rf "$staging"' EXIT
trap 'exit 1' HUP INT TERM

echo "engine: fetching @chdb/$package@$version with npm (a download of about 180 MB, 570 MB unpacked) to $library"
cp "$here/package.json" "$here/package-lock.json" "$staging/"
# npm's own cache would keep a second copy of the download: it goes into the staging folder too.
npm ci --prefix "$staging" --cache "$staging/.npm" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
fetched=$staging/node_modules/@chdb/$package/libchdb.so
if [ ! -s "$fetched" ]; then
	# npm passes over an optional package that it cannot fetch, without a word; its log tells.
	echo "engine: npm has not installed @chdb/$package@$version; from its log:" >&2
	grep -h -i -E 'failed|error|ERR!|E[0-9]{3}|notsup' "$staging"/.npm/_logs/*.log | tail -n 5 >&2 || true
	exit 1
fi
mv "$fetched" "$library"
echo "engine: installed $library"
