#!/bin/sh
# What an image is for, done once inside it, as its user. scripts/images runs it after each build.
#   run.sh ROLE SHARED    SHARED: a folder that the data image and the train image both see; the lake of the check lies there
set -eu
here=$(cd "$(dirname "$0")" && pwd)
role=$1
shared=$2
cd /opt/headrace
touch var/written && rm var/written # the default place of the lake belongs to the user
headrace doctor --role "$role"
export HEADRACE_SETTINGS="$shared/headrace.yaml"
case "$role" in
  airflow) # every DAG is imported by Airflow itself
    AIRFLOW_HOME=$(mktemp -d)
    export AIRFLOW_HOME AIRFLOW__CORE__DAGS_FOLDER=/opt/headrace/dags AIRFLOW__CORE__LOAD_EXAMPLES=False
    unset HEADRACE_SETTINGS
    airflow db migrate >"$AIRFLOW_HOME/log" 2>&1 || { cat "$AIRFLOW_HOME/log"; exit 1; }
    python "$here/dags.py"
    ;;
  data) # three documents, from a file to tokens
    mkdir -p "$shared/sources"
    sed "s#@FOLDER@#$here#" "$here/source.yaml" >"$shared/sources/smoke.yaml"
    printf 'base: /opt/headrace\nlake: {root: %s/lake}\nruns: %s/runs\nsources: %s/sources\n' "$shared" "$shared" "$shared" >"$HEADRACE_SETTINGS"
    headrace crawl smoke/one
    headrace slice run text smoke/one
    ;;
  train) # three steps on what the data image left
    [ -d "$shared/lake" ] || { echo "smoke: no lake in $shared: run the data image first" >&2; exit 2; }
    headrace mix compile "$here/recipe.yaml"
    headrace train "$here/recipe.yaml"
    ;;
  *)
    echo "smoke: unknown role $role" >&2
    exit 2
    ;;
esac
