# Completion of metallic for fish: the program lists the words that may follow; if there are none, files.
function __metallic_complete
    set -l words (commandline -opc)
    set -l found ($words[1] complete -- $words[2..] (commandline -ct) 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c metallic -f -a '(__metallic_complete)'
