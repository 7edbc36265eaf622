from diminuendo.cli.main import main

main()
