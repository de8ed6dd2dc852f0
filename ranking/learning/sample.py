"""A few questions and passages, to see on any machine whether a model still ranks as it should.

Written for this purpose: for each question some passages answer it, some share its subject or its words, and most have
nothing to do with it.
"""

QUESTIONS = (
    "does green tea lower blood pressure",
    "how do sailing boats move against the wind",
    "copy a folder with all its files in Python",
    "why do stars collapse into black holes",
    "films about a bank robbery that goes wrong",
    "how should coffee beans be stored",
)

PASSAGES = (
    "In a trial of 120 adults with mild hypertension, three cups of green tea a day lowered systolic blood pressure by "
    "four millimetres of mercury after twelve weeks; no change was seen with the placebo.",
    "Black tea holds more caffeine than green tea, and the two differ mostly in how long the leaves are left to "
    "oxidise after they have been picked.",
    "A diet low in salt reduces blood pressure within weeks, and more so in patients who take no other treatment.",
    "Statins lower cholesterol. Muscle pain is the side effect that patients report most often, and seldom the drug's.",
    "A boat cannot sail straight into the wind. It tacks: the sail works like a wing, the keel keeps the hull from "
    "sliding sideways, and a zigzag course gains ground upwind.",
    "Wind turbines turn to face the wind, and their blades are pitched so that they catch as much of it as is safe.",
    "Knots for beginners: the bowline makes a loop that does not slip, the cleat hitch ties a boat to the quay.",
    "The harbour was built in the last century, when the fishing fleet moved away from the mouth of the river.",
    "shutil.copytree(src, dst) copies an entire directory tree to a new place and returns the destination; with "
    "dirs_exist_ok an existing folder is no error.",
    "os.listdir returns the names of the files in a folder, in no particular order and without their path.",
    "A generator function remembers where it stopped, and goes on from there when the next value is asked for.",
    "Backing up: keep three copies of your files, on two kinds of media, one of them in another building.",
    "When a massive star has burnt its fuel, no pressure holds up its core any more. If more than about three solar "
    "masses are left, nothing stops the collapse, and a black hole forms.",
    "White dwarfs are what remains of stars like the sun: small, hot, and cooling for billions of years.",
    "Telescopes with larger mirrors collect more light and tell finer details of distant galaxies apart.",
    "The hole in the ozone layer over the Antarctic has been closing slowly since certain gases were banned.",
    "Two brothers plan the perfect heist, but an alarm, a hostage and their own mistrust turn the bank into a trap. "
    "A tense crime drama told in a single night.",
    "A comedy about a retired teller who teaches pensioners to dance, and finds that her old bank is closing.",
    "Central banks raise interest rates when prices rise too fast, which makes loans dearer and spending slower.",
    "Roasted beans keep best in an airtight tin, away from light and warmth; ground coffee loses its flavour in days.",
)
