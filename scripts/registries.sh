# Registries that take some bringing up: Gitea (built with Go) and Pulp (Python, PostgreSQL, Redis, nginx). Read by
# interop.sh, which has the functions this uses; what cannot be had here is skipped with the reason.

# Both want to be another user than root. A folder of their own, that this user can reach: its path is in $home.
home_of() {
    [ "$(id -u)" = 0 ] || skip "$1 is run as another user, which needs root here"
    have setpriv || skip "no setpriv here"
    home=$(mktemp -d "${TMPDIR:-/tmp}/bundle-$1.XXXXXX")
    chown "$2" "$home"
}

# as USER COMMAND…: with no other rights than that user's.
as() {
    local user=$1
    shift
    env -C "$home" setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME="$home" "$@"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

gitea_program() {
    CGO_ENABLED=1 built_in_a_copy gitea code.gitea.io/gitea@v1.26.2 . 'sqlite sqlite_unlock_notify' options templates
}

# gitea: one with the user adm, whose password is $password; its address is in $served afterwards.
gitea() {
    gitea_program
    home_of gitea nobody
    local port
    port=$(free_port)
    # Where nobody else may look, that user may not either.
    cp "$program" "$home/gitea"
    cp -r "$(dirname "$program")/options" "$(dirname "$program")/templates" "$home/"
    cat >"$home/app.ini" <<END
RUN_USER = nobody
WORK_PATH = $home
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = $port
ROOT_URL = http://127.0.0.1:$port/
OFFLINE_MODE = true
DISABLE_SSH = true
STATIC_ROOT_PATH = $home
[database]
DB_TYPE = sqlite3
PATH = $home/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = only-for-this-run
INTERNAL_TOKEN = $(as nobody "$home/gitea" generate secret INTERNAL_TOKEN)
[packages]
ENABLED = true
END
    chown -R nobody "$home"
    password=pass-word-1
    as nobody "$home/gitea" --config "$home/app.ini" migrate >migrate.log 2>&1
    as nobody "$home/gitea" --config "$home/app.ini" admin user create --admin --username adm --password "$password" \
        --email adm@example.com --must-change-password=false >user.log 2>&1
    start gitea.log env -C "$home" setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups env HOME="$home" \
        "$home/gitea" --config "$home/app.ini" web
    served=127.0.0.1:$port
    wait_for_long Gitea curl -s -o /dev/null "http://$served/v2/" || { tail -n 20 gitea.log; return 1; }
}

# What Gitea and Pulp have to do alike. $1: what goes before every repository there; then arguments for curl.
carries_there_and_back() {
    local place=$1
    shift
    printf %s "$password" | "$binary" login "$served" -u adm --password-stdin --auth-file auth.json
    local auth=(--auth-file "$PWD/auth.json")
    "$binary" import "$file" -d "$place" --values v.yaml "${auth[@]}"
    arrived "$place" "$@"
    "$binary" import "$file" -d "$place" --values v.yaml --report again.json "${auth[@]}"
    same 0 "$(jq .totals.blobBytes again.json)" "what a second import sent"
    "$binary" import "$file" -d "$place" --values v.yaml --dry-run "${auth[@]}" | tee plan
    same "$(wc -l <"$work/names")" "$(grep -c '^there' plan)" "what a dry run finds there"
    sed "s|^|$place/|" "$work/names" >back.txt
    "$binary" export back.txt -o back.tar.zst "${auth[@]}"
    cmp <("$binary" inspect "$file" --format json | jq '[.bundle.images[].digest] | sort') \
        <("$binary" inspect back.tar.zst --format json | jq '[.bundle.images[].digest] | sort')
    echo '{}' >nobody.json
    fails 4 "$binary" import "$file" -d "$place/again" --values w.yaml --auth-file nobody.json
    # A large layer that is killed in the middle arrives with the next run.
    big_image
    killed_in_the_middle "$binary" import big.tar.zst -d "$place" --values big.yaml "${auth[@]}"
    "$binary" import big.tar.zst -d "$place" --values big.yaml --report big.json "${auth[@]}"
    same "$(scheme=http digest_of "$outside/big/image" 1)" "$(digest_of "$place/big/image" 1 "$@")" "the large image"
    echo "# $(jq .totals.bytesSent big.json) bytes of 40 MB were left to send after kill -9"
}

gitea_registry() {
    trap 'stop_all; rm -rf "${home:-}"' EXIT
    gitea
    # It takes no two underscores in a row: the images fail, in a dry run too.
    printf %s "$password" | "$binary" login "$served" -u adm --password-stdin --auth-file auth.json
    fails 1 "$binary" import "$file" -d "$served/adm/a__b" --values n.yaml --dry-run --auth-file auth.json
    fails 1 "$binary" import "$file" -d "$served/adm/a__b" --values n.yaml --auth-file auth.json
    # An owner that is not there is named, and not every path below it.
    fails 1 "$binary" import "$file" -d "$served/nobodyx/anon" --values n.yaml --auth-file auth.json 2>errors
    cat errors
    grep -q 'nobodyx$' errors
    carries_there_and_back "$served/adm" --user "adm:$password"
}

# pulp: pulpcore and pulp-container behind nginx; its address is in $served afterwards.
pulp() {
    have nginx || skip "no nginx here"
    local python version=3.123.1-2.30.0 initdb
    initdb=$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -1)
    [ -n "$initdb" ] || { tools psql postgresql && initdb=$(ls -d /usr/lib/postgresql/*/bin/initdb | tail -1); } || skip "no PostgreSQL here"
    tools redis-server redis-server || skip "no Redis here"
    for python in python3.13 python3.12 python3.11 none; do "$python" -c 'import venv' 2>/dev/null && break; done
    [ "$python" != none ] || skip "no Python 3.11 or newer here"
    local venv=$cache/pulp-$version
    if [ ! -x "$venv/bin/pulpcore-api" ]; then
        { "$python" -m venv "$venv" && "$venv/bin/pip" install -q pulpcore==3.123.1 pulp-container==2.30.0; } >pip.log 2>&1 ||
            skip "Pulp cannot be had: $(tail -1 pip.log)"
    fi
    home_of pulp postgres
    local port api content database redis
    port=$(free_port) api=$(free_port) content=$(free_port) database=$(free_port) redis=$(free_port)
    password=pass-word-1
    as postgres "$initdb" -D "$home/data" -A trust -E UTF8 >initdb.log 2>&1
    start postgres.log setpriv --reuid postgres --regid "$(id -g postgres)" --clear-groups \
        "$(dirname "$initdb")/postgres" -D "$home/data" -p "$database" -k "$home" -h 127.0.0.1
    wait_for PostgreSQL as postgres psql -h 127.0.0.1 -p "$database" -d postgres -c 'select 1'
    as postgres psql -h 127.0.0.1 -p "$database" -d postgres -c 'create database pulp' >createdb.log
    start redis.log redis-server --port "$redis" --bind 127.0.0.1 --save '' --dir "$home"
    mkdir -p pulp/media pulp/tmp pulp/static pulp/import pulp/export
    openssl rand -base64 32 >pulp/key
    cat >pulp/settings.py <<END
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "pulp", "USER": "postgres", "HOST": "127.0.0.1", "PORT": "$database"}}
CACHE_ENABLED = True
REDIS_HOST = "127.0.0.1"
REDIS_PORT = $redis
DEPLOY_ROOT = "$PWD/pulp"
MEDIA_ROOT = "$PWD/pulp/media"
STATIC_ROOT = "$PWD/pulp/static"
WORKING_DIRECTORY = "$PWD/pulp/tmp"
FILE_UPLOAD_TEMP_DIR = "$PWD/pulp/tmp"
DB_ENCRYPTION_KEY = "$PWD/pulp/key"
SECRET_KEY = "only-for-this-run"
CONTENT_ORIGIN = "http://127.0.0.1:$port"
ALLOWED_HOSTS = ["*"]
TOKEN_AUTH_DISABLED = True
END
    export PULP_SETTINGS=$PWD/pulp/settings.py DJANGO_SETTINGS_MODULE=pulpcore.app.settings
    "$venv/bin/pulpcore-manager" migrate >migrate.log 2>&1
    "$venv/bin/pulpcore-manager" reset-admin-password --password "$password" >admin.log 2>&1
    "$venv/bin/pulpcore-manager" shell -c "
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser('adm', password='$password')" >adm.log 2>&1
    local path=$PATH
    PATH=$venv/bin:$PATH
    start api.log "$venv/bin/pulpcore-api" --bind "127.0.0.1:$api" --workers 2
    start content.log "$venv/bin/pulpcore-content" --bind "127.0.0.1:$content" --workers 2
    start worker1.log "$venv/bin/pulpcore-worker"
    start worker2.log "$venv/bin/pulpcore-worker"
    PATH=$path
    wait_for_long Pulp curl -fsS -o /dev/null "http://127.0.0.1:$api/pulp/api/v3/status/"
    nginx_conf 'client_max_body_size 0;' "listen 127.0.0.1:$port;
        proxy_set_header Host \$http_host; proxy_set_header X-Forwarded-Proto \$scheme; proxy_redirect off;
        location /pulp/container/ { proxy_pass http://127.0.0.1:$content; }
        location /pulp/content/ { proxy_pass http://127.0.0.1:$content; }
        location / { proxy_pass http://127.0.0.1:$api; }"
    start nginx.log nginx -c "$PWD/nginx.conf"
    served=127.0.0.1:$port
    wait_for nginx curl -s -o /dev/null "http://$served/v2/"
}

# wait_for_long WHAT COMMAND…: like wait_for, for what takes up to three minutes.
wait_for_long() {
    local tries=0
    until (wait_for "$@") >wait.log 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 9 ] || { cat wait.log; tail -n 5 ./*.log; return 1; }
    done
}

pulp_registry() {
    trap 'stop_all; rm -rf "${home:-}"' EXIT
    pulp
    carries_there_and_back "$served/adm" --user "adm:$password"
}
