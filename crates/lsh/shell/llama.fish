# Llamux in fish 3.4 or newer: a key that turns the line into a command, and what to say about one that is not
# found. In lsh, Enter does the same for a line that reads like a sentence.
#
# __llama_lsh is the program to ask; in lsh, __llama_dir has the pipes to ask it by.

if status is-interactive; and not set -q __llama_version
    set -g __llama_version $__llama_new
    set -q __llama_dir; or set -g __llama_dir ''
    set -q __llama_key; or set -g __llama_key ''
    set -g __llama_status 0
    set -g __llama_last ''
    set -g __llama_reply ''

    # Whether a word at the beginning of a line is for the shell.
    function __llama_is_command
        string match -qr -- '^-|[][\"$`\\\\/=.;|&<>(){}*~#!%@+^]' $argv[1]
        or command -q -- $argv[1]
        or builtin -q -- $argv[1]
        or functions -q -- $argv[1]
        or abbr --query -- $argv[1] 2>/dev/null
    end

    # Asks, and puts a letter and a text into __llama_reply.
    function __llama_ask
        set -g __llama_reply ''
        if test -n "$__llama_dir"
            printf '%s\0' $argv[1]$argv[2] >$__llama_dir/ask
            read --null --global __llama_reply <$__llama_dir/answer
        else
            set -g __llama_reply ($__llama_lsh --widget $argv[1] --shell fish --status $__llama_status \
                --last "$__llama_last" -- "$argv[2]" </dev/tty | string collect)
        end
        return 0
    end

    # How many rows below its first one a text behind the prompt reaches.
    function __llama_rows
        set -l before (string length --visible -- (fish_prompt)[-1])
        set -l rows -1
        for line in (string split \n -- "$argv[1]")
            set -l length (string length --visible -- "$line")
            set rows (math $rows + 1 + floor \(\($before + $length\) / $COLUMNS\))
            set before 0
        end
        echo $rows
    end

    # Asks for the line, and does with it what the answer says.
    function __llama_turn
        set -l kind $argv[1]
        set -l line $argv[2]
        # Below the last row of the line, wherever the cursor is.
        set -l cursor (__llama_rows (commandline --cut-at-cursor | string collect))
        set -l below (math (__llama_rows (commandline | string collect)) - $cursor + 1)
        string repeat --no-newline --count=$below \n
        __llama_ask $kind "$line"
        set -l text (string sub --start 2 -- "$__llama_reply" | string collect)
        switch "$__llama_reply"
            case 'r*' 'e*' 'd*'
                # Fish 4 can be told of lines that were not run.
                test $kind = a; and test (string split . -- $version)[1] -ge 4; and history append -- "$line"
                commandline --replace -- "$text"
            case '*'
                test $kind = f; and commandline --replace ''
        end
        # Fish draws its prompt upwards from where it believes the cursor to be.
        string repeat --no-newline --count=(math (count (fish_prompt)) - 1 + $cursor) \n
        commandline --function repaint
        if string match -q 'r*' -- "$__llama_reply"
            commandline --function execute
        end
    end

    function __llama_enter
        set -l line (commandline --current-buffer | string collect)
        if commandline --paging-mode; or commandline --search-mode
            commandline --function execute
            return
        end
        set -l word (string split --max 1 ' ' -- "$line")[1]
        if test "$line" = '?'
            __llama_turn f ''
            return
        else if string match -q '\\?*' -- "$line"
            __llama_turn a "$line"
            return
        else if test -n "$word"; and test "$word" != "$line"; and not __llama_is_command $word
            __llama_ask s "$line"
            if test "$__llama_reply" = y
                __llama_turn a "$line"
                return
            end
        end
        commandline --function execute
    end

    function __llama_press
        set -l line (commandline --current-buffer | string collect)
        set -l word (string split --max 1 ' ' -- "$line")[1]
        if test -z "$line"
            __llama_turn f ''
        else if not string match -q '\\?*' -- "$line"; and __llama_is_command "$word"
            __llama_turn c "$line"
        else
            __llama_turn a "$line"
        end
    end

    function __llama_preexec --on-event fish_preexec
        set -g __llama_run "$argv[1]"
        test -n "$__llama_dir"; and __llama_ask r "$argv[1]"
    end

    function __llama_postexec --on-event fish_postexec
        set -g __llama_status $status
        set -g __llama_last "$__llama_run"
        test -n "$__llama_dir"; and __llama_ask p $__llama_status
    end

    function __llama_prompt --on-event fish_prompt
        if test -n "$__llama_dir"; and test "$PATH" != "$__llama_path"
            set -g __llama_path "$PATH"
            __llama_ask v "$PATH"
        end
    end

    for __llama_map in default insert
        if test -n "$__llama_dir"
            bind --mode $__llama_map \r __llama_enter
            bind --mode $__llama_map \n execute
        end
        if test -n "$__llama_key"
            bind --mode $__llama_map $__llama_key __llama_press
        end
    end
    set -e __llama_map

    # The handler that there was is asked first, under another name.
    if functions -q fish_command_not_found
        functions --copy fish_command_not_found __llama_not_found
    else
        function __llama_not_found
            __fish_default_command_not_found_handler $argv
        end
    end
    function fish_command_not_found
        __llama_not_found $argv
        $__llama_lsh --not-found --shell fish -- $argv >&2 2>/dev/null
    end

    # "llama fix" alone is about the command before it.
    function llama
        if test (count $argv) = 1; and test "$argv[1]" = fix
            command llama fix --status $__llama_status -- "$__llama_last"
        else
            command llama $argv
        end
    end
end
