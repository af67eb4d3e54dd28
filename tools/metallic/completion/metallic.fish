# Completion of metallic for fish: the program itself says what may follow; where it says nothing, files may.
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
