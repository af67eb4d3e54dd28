# Completion of metallic for bash: the program itself says what may follow; where it says nothing, files may.
_metallic() {
  mapfile -t COMPREPLY < <("$1" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _metallic metallic
