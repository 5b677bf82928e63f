# Llamux in bash 4.4 or newer: a key that turns the line into a command, and what to say about one that is not
# found. In lsh, Enter does the same for a line that reads like a sentence.
#
# __llama_lsh is the program to ask; in lsh, __llama_dir has the pipes to ask it by.
# shellcheck shell=bash disable=SC2154

if [[ $- == *i* && -z ${__llama_version-} ]]; then
	__llama_version=$__llama_new
	: "${__llama_dir=}" "${__llama_key=}"
	# Whether Enter would begin a command, and not continue one.
	__llama_fresh=0
	__llama_status=0
	__llama_literal=0
	__llama_next=
	__llama_path=

	# Says what the second half of our keys does: accept the line, or nothing.
	__llama_then() {
		local map to='""'
		[[ $__llama_next != "$1" ]] || return 0
		__llama_next=$1
		[[ $1 != accept ]] || to=accept-line
		for map in emacs-standard vi-insert vi-command; do
			bind -m "$map" "\"\\e[7770;2~\": $to"
		done
	}

	# Whether a word at the beginning of a line is for the shell.
	__llama_is_command() {
		[[ $1 == -* || $1 == *[]\[\"\$\`\\/=.\;\|\&\<\>\(\){}*~\#!%@+^]* ]] ||
			type -t -- "$1" >/dev/null
	}

	# Asks, and puts a letter and a text into __llama_reply.
	__llama_ask() {
		__llama_reply=
		if [[ -n $__llama_dir ]]; then
			printf '%s\0' "$1$2" >"$__llama_dir/ask" || return 0
			IFS= read -r -d '' __llama_reply <"$__llama_dir/answer" || return 0
		else
			local last=
			[[ $1 != f ]] || last=$(__llama_history)
			__llama_reply=$("$__llama_lsh" --widget "$1" --shell bash --status "$__llama_status" \
				--last "$last" -- "$2" </dev/tty) || return 0
		fi
	}

	# The last command of the history, or the one before it if the last one is "llama fix".
	__llama_history() {
		local entries last
		entries=$(HISTTIMEFORMAT='' builtin history 2)
		last=${entries##*$'\n'}
		if [[ $last == *'llama fix' ]]; then
			last=${entries%$'\n'*}
		else
			last=$(HISTTIMEFORMAT='' builtin history 1)
		fi
		[[ $last =~ ^[[:space:]]*[0-9]+[*]?[[:space:]]+(.*)$ ]] || return 0
		printf '%s' "${BASH_REMATCH[1]}"
	}

	# Shows the line as it was typed: bash has cleared it to run us.
	__llama_show() {
		local prompt=${PS1@P}
		prompt=${prompt##*$'\n'}
		printf '%s%s\n' "${prompt//[$'\001\002']/}" "$READLINE_LINE" >/dev/tty
	}

	# Does with the line what __llama_reply says.
	__llama_take() {
		local text=${__llama_reply#?}
		__llama_then nothing
		case $__llama_reply in
		r*)
			[[ $1 != a ]] || history -s -- "$READLINE_LINE"
			# What was shown is what runs: no "!" in it is taken for one of the history's.
			if [[ $- == *H* && ($text == *!* || $text == ^*) ]]; then
				set +H
				__llama_literal=1
			fi
			__llama_accept "$text"
			READLINE_LINE=$text
			__llama_then accept
			;;
		e*)
			[[ $1 != a ]] || history -s -- "$READLINE_LINE"
			READLINE_LINE=$text
			;;
		d*)
			[[ $1 != a ]] || history -s -- "$READLINE_LINE"
			READLINE_LINE=
			;;
		esac
		READLINE_POINT=${#READLINE_LINE}
	}

	# A line is about to run.
	__llama_accept() {
		[[ -n $1 ]] || return 0
		__llama_fresh=0
		[[ -z $__llama_dir ]] || __llama_ask r "$1"
	}

	__llama_enter() {
		local line=$READLINE_LINE word kind=
		__llama_then accept
		[[ $__llama_fresh == 1 ]] || return 0
		word=${line%%[[:space:]]*}
		if [[ $line == '?' ]]; then
			kind=f
		elif [[ $line == '?'* ]]; then
			kind=a
		elif [[ -n $word && $line != "$word" ]] && ! __llama_is_command "$word"; then
			__llama_ask s "$line"
			[[ $__llama_reply != y ]] || kind=a
		fi
		if [[ -z $kind ]]; then
			__llama_accept "$line"
			return 0
		fi
		__llama_show
		__llama_ask "$kind" "$line"
		[[ $kind == a ]] || READLINE_LINE=
		__llama_take "$kind"
	}

	__llama_press() {
		local line=$READLINE_LINE kind=a
		local word=${line%%[[:space:]]*}
		if [[ -z $line ]]; then
			kind=f
		elif [[ $line != '?'* ]] && __llama_is_command "$word"; then
			kind=c
		fi
		__llama_show
		__llama_ask "$kind" "$line"
		__llama_take "$kind"
	}

	__llama_prompt() {
		local status=$?
		__llama_fresh=1
		__llama_status=$status
		if [[ $__llama_literal == 1 ]]; then
			set -H
			__llama_literal=0
		fi
		if [[ -n $__llama_dir ]]; then
			__llama_ask p "$status"
			if [[ $PATH != "$__llama_path" ]]; then
				__llama_path=$PATH
				__llama_ask v "$PATH"
			fi
		fi
		return "$status"
	}

	if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
		PROMPT_COMMAND+=(__llama_prompt)
	else
		# shellcheck disable=SC2178,SC2128
		PROMPT_COMMAND="__llama_prompt${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
	fi

	for __llama_map in emacs-standard vi-insert vi-command; do
		if [[ -n $__llama_dir ]]; then
			bind -m "$__llama_map" -x '"\e[7770;1~": __llama_enter'
			bind -m "$__llama_map" '"\C-m": "\e[7770;1~\e[7770;2~"'
		fi
		if [[ -n $__llama_key ]]; then
			bind -m "$__llama_map" -x '"\e[7770;3~": __llama_press'
			bind -m "$__llama_map" "\"$__llama_key\": \"\\e[7770;3~\\e[7770;2~\""
		fi
	done
	unset __llama_map

	# The handler that there was is asked first, under another name.
	if declare -F command_not_found_handle >/dev/null; then
		eval "__llama_$(declare -f command_not_found_handle)"
	else
		__llama_command_not_found_handle() {
			printf 'bash: %s: command not found\n' "$1" >&2
			return 127
		}
	fi
	command_not_found_handle() {
		local status=0
		__llama_command_not_found_handle "$@" || status=$?
		[[ $status == 0 ]] || "$__llama_lsh" --not-found --shell bash -- "$@" >&2 2>/dev/null || :
		return "$status"
	}

	# "llama fix" alone is about the command before it. Written so, an alias of this name does no harm.
	function llama {
		if [[ $# == 1 && $1 == fix ]]; then
			command llama fix --status "$__llama_status" -- "$(__llama_history)"
		else
			command llama "$@"
		fi
	}
fi
