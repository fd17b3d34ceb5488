# Use with "source @VENV@/bin/activate" from a POSIX shell; running it does nothing.
# The image sets PATH and VIRTUAL_ENV already: this is for shells that begin with other ones.

deactivate() {
	if [ -n "${_OLD_VIRTUAL_PATH:-}" ]; then
		PATH=$_OLD_VIRTUAL_PATH
		export PATH
		unset _OLD_VIRTUAL_PATH
	fi
	if [ -n "${_OLD_VIRTUAL_PS1+set}" ]; then
		PS1=$_OLD_VIRTUAL_PS1
		unset _OLD_VIRTUAL_PS1
	fi
	unset VIRTUAL_ENV VIRTUAL_ENV_PROMPT
	hash -r 2>/dev/null || true
	if [ "${1:-}" != nondestructive ]; then
		unset -f deactivate
	fi
}

deactivate nondestructive

VIRTUAL_ENV=@VENV@
VIRTUAL_ENV_PROMPT=@NAME@
export VIRTUAL_ENV VIRTUAL_ENV_PROMPT
_OLD_VIRTUAL_PATH=$PATH
PATH=$VIRTUAL_ENV/bin:$PATH
export PATH
unset PYTHONHOME
if [ -z "${VIRTUAL_ENV_DISABLE_PROMPT:-}" ]; then
	_OLD_VIRTUAL_PS1=${PS1:-}
	PS1="(@NAME@) ${PS1:-}"
fi
hash -r 2>/dev/null || true
