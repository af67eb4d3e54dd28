# Completion of metallic for bash: the program lists the words that may follow; if there are none, files.
_metallic() {
  mapfile -t COMPREPLY < <("$1" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _metallic metallic
