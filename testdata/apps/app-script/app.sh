#!/bin/bash
export STARTED_BY=app.sh
exec python server.py
