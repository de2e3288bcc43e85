"""Passages, and for each a question in other words: what a search should find first."""

PAIRS = [
    (
        "The warehouse accepts returned goods within thirty days if the box has not been opened.",
        "How long can I send something back?",
    ),
    (
        "Invoices are due two weeks after the delivery; later payments cost a reminder fee.",
        "When do I have to pay my bill?",
    ),
    (
        "The northern ferry does not sail when waves are higher than three metres.",
        "In what weather is the boat cancelled?",
    ),
    (
        "A nurse checks the patient's blood pressure every four hours during the night.",
        "How often are vital signs measured in hospital?",
    ),
    (
        "The bakery starts its ovens at three in the morning so that bread is warm at six.",
        "When are loaves ready?",
    ),
    (
        "Solar panels on the roof feed what the house does not use into the public grid.",
        "What happens to surplus electricity from photovoltaics?",
    ),
    (
        "The referee shows a red card for a foul that endangers the opponent.",
        "Which offence gets a football player sent off?",
    ),
    (
        "Every employee gets twenty-eight days off a year, and one more after five years.",
        "How much holiday do members of staff have?",
    ),
    (
        "Salt lowers the freezing point of water, which is why it is spread on icy roads.",
        "Why are streets gritted?",
    ),
    ("The telescope found a planet that circles two suns.", "Has a world with a pair of stars been discovered?"),
    (
        "Passwords must have twelve characters and are changed only after a leak.",
        "What are the rules for login credentials?",
    ),
    (
        "The orchestra tunes to the oboe because its pitch is the steadiest.",
        "Which instrument do musicians take their note from?",
    ),
    (
        "Bees tell each other where flowers are by dancing on the comb.",
        "How do insects communicate the direction of food?",
    ),
    (
        "The court ruled that the tenant need not pay for the broken heating.",
        "Who pays to repair a radiator?",
    ),
    (
        "Sourdough rises because wild yeast and bacteria make gas out of flour.",
        "What makes dough grow without added yeast?",
    ),
    (
        "Trains between the two capitals will take four hours.",
        "How long is the railway journey?",
    ),
    (
        "The vaccine is stored at minus seventy degrees and keeps for half a year.",
        "At what temperature must the injection be kept?",
    ),
    (
        "Customers in the city cancel their subscription twice as often as those in villages.",
        "Where is churn highest?",
    ),
    ("The bridge was closed after engineers saw cracks in its steel cables.", "Why can nobody cross the river there?"),
    (
        "Octopuses have three hearts, two of which only serve the gills.",
        "How many organs pump blood in a cephalopod?",
    ),
    (
        "The museum opens on Mondays only during the school holidays.",
        "Can I see the exhibition at the start of the week?",
    ),
    ("Olive oil loses its taste when it stands in the light.", "How should cooking fat be stored?"),
    ("The bank lends at most four times what a household earns in a year.", "How large a mortgage can I get?"),
    (
        "Lightning reaches the ground before its thunder is heard because light is faster than sound.",
        "Why do I see a storm's flash first?",
    ),
]
