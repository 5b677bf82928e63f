# Llamux in zsh 5.1 or newer: a key that turns the line into a command, and what to say about one that is not
# found. In lsh, Enter does the same for a line that reads like a sentence.
#
# __llama_lsh is the program to ask; in lsh, __llama_dir has the pipes to ask it by.

if [[ -o interactive && -z ${__llama_version-} ]]; then
	typeset -g __llama_version=$__llama_new
	typeset -g __llama_dir=${__llama_dir-} __llama_key=${__llama_key-}
	typeset -g __llama_status=0 __llama_last= __llama_run= __llama_literal= __llama_reply= __llama_path=

	# Whether a word at the beginning of a line is for the shell.
	__llama_is_command() {
		[[ $1 == -* || $1 == *[][\"\$\`\\/=.\;\|\&\<\>\(\){}*~\#!%@+^]* ]] ||
			builtin whence -- "$1" >/dev/null
	}

	# Asks, and puts a letter and a text into __llama_reply.
	__llama_ask() {
		__llama_reply=
		if [[ -n $__llama_dir ]]; then
			builtin printf '%s\0' "$1$2" >|"$__llama_dir/ask" || return 0
			IFS= builtin read -r -d $'\0' __llama_reply <"$__llama_dir/answer" || return 0
		else
			__llama_reply=$("$__llama_lsh" --widget "$1" --shell zsh --status "$__llama_status" \
				--last "$__llama_last" -- "$2" </dev/tty) || return 0
		fi
	}

	# Asks for the line, and does with it what the answer says; fails where it is not to be run.
	__llama_turn() {
		local kind=$1 line=$BUFFER
		zle -I
		__llama_ask "$kind" "$line"
		local text=${__llama_reply#?}
		case $__llama_reply in
		r* | e* | d*)
			[[ $kind != a ]] || builtin print -sr -- "$line"
			BUFFER=$text
			CURSOR=${#BUFFER}
			;;
		*)
			[[ $kind != f ]] || BUFFER=
			;;
		esac
		[[ $__llama_reply == r* ]] || return 1
		# What was shown is what runs: no "!" in it is taken for one of the history's. Zsh has looked at its
		# option before the line was begun, and looks at these characters for each one of the line.
		if [[ -o banghist && ( $text == *!* || $text == ^* ) ]]; then
			typeset -g __llama_literal=$histchars
			histchars=$'\1\2'${histchars#??}
		fi
	}

	__llama_enter() {
		local kind= word=${BUFFER%%[[:space:]]*}
		if [[ $CONTEXT == start ]]; then
			if [[ $BUFFER == '?' ]]; then
				kind=f
			elif [[ $BUFFER == '?'* ]]; then
				kind=a
			elif [[ -n $word && $BUFFER != "$word" ]] && ! __llama_is_command "$word"; then
				__llama_ask s "$BUFFER"
				[[ $__llama_reply != y ]] || kind=a
			fi
		fi
		[[ -z $kind ]] || __llama_turn "$kind" || return 0
		zle __llama_accept_line
	}

	__llama_press() {
		local kind=a word=${BUFFER%%[[:space:]]*}
		if [[ -z $BUFFER ]]; then
			kind=f
		elif [[ $BUFFER != '?'* ]] && __llama_is_command "$word"; then
			kind=c
		fi
		__llama_turn "$kind" || return 0
		zle accept-line
	}

	__llama_preexec() {
		typeset -g __llama_run=$1
		[[ -z $__llama_dir ]] || __llama_ask r "$1"
	}

	__llama_precmd() {
		typeset -g __llama_status=$?
		if [[ -n $__llama_literal ]]; then
			histchars=$__llama_literal
			__llama_literal=
		fi
		if [[ -n $__llama_run ]]; then
			typeset -g __llama_last=$__llama_run __llama_run=
		fi
		[[ -n $__llama_dir ]] || return 0
		__llama_ask p "$__llama_status"
		if [[ $PATH != "$__llama_path" ]]; then
			typeset -g __llama_path=$PATH
			__llama_ask v "$PATH"
		fi
	}

	autoload -Uz add-zsh-hook
	add-zsh-hook preexec __llama_preexec
	add-zsh-hook precmd __llama_precmd

	if [[ -n $__llama_dir ]]; then
		zle -A accept-line __llama_accept_line
		zle -N accept-line __llama_enter
		for __llama_map in emacs viins vicmd; do
			bindkey -M "$__llama_map" '^J' __llama_accept_line
		done
	fi
	if [[ -n $__llama_key ]]; then
		zle -N __llama_press
		for __llama_map in emacs viins vicmd; do
			bindkey -M "$__llama_map" "$__llama_key" __llama_press
		done
	fi
	unset __llama_map

	# The handler that there was is asked first, under another name.
	if (( ${+functions[command_not_found_handler]} )); then
		functions[__llama_not_found]=$functions[command_not_found_handler]
	else
		__llama_not_found() {
			builtin print -r -- "zsh: command not found: $1" >&2
			return 127
		}
	fi
	command_not_found_handler() {
		local result=0
		__llama_not_found "$@" || result=$?
		[[ $result == 0 ]] || "$__llama_lsh" --not-found --shell zsh -- "$@" >&2 2>/dev/null || :
		return $result
	}

	# "llama fix" alone is about the command before it. Written so, an alias of this name does no harm.
	function llama {
		if [[ $# == 1 && $1 == fix ]]; then
			command llama fix --status "$__llama_status" -- "$__llama_last"
		else
			command llama "$@"
		fi
	}
fi
