# Toutes les phrases du rapport en français. Mêmes identifiants et mêmes valeurs que dans les autres catalogues.
# Les espaces insécables devant « : ; ! ? % » sont mises par le programme.

intro = Données : { $source }, { $classes } classes ({ $set }), { $train } images d'entraînement, { $val } de validation et { $test } de test. Toutes les mesures ci-dessous sont produites par `dvc repro` à partir de ce dépôt ; une affirmation qu'aucune mesure ne tranche porte la mention *non mesurée*.

source-synthetic = visages **synthétiques**
source-rafce = **RAF-CE**
source-ferplus = visages composés de **FER+**
source-imagefolder = **images de l'utilisateur** (`imagefolder`)
## Sections
summary = Synthèse
protocol = Protocole et hypothèses
data = Données
runs = Expériences
attention = Cartes d'activation de classe
conclusion = Conclusion
reproduce = Reproduire l'étude

## Synthèse
points = { $number ->
    [one] point
   *[other] points
}
run = Exp.
run-title = { $name } : { $title }
trained = Parties entraînées
train-percent = Entr. %
val-percent = Val. %
test-percent = Test %
gap = Écart
gap-last = Écart, dernière époque
val-f1 = Macro-F1 val.
test-f1 = Macro-F1 test
supported-by-evidence = Verdict étayé par les mesures
none = aucun
and = {" et "}
majority = Toujours la classe la plus fréquente
summary-note = Exactitudes en pourcentage, sur des images non augmentées, à l'époque retenue sur la validation ; écarts (entraînement moins validation) en points. La meilleure expérience en validation est en gras. Une seule graine : quelques points d'écart entre expériences peuvent relever du hasard.

verdicts = Verdicts
verdict-overfitting = surapprentissage
verdict-underfitting = sous-apprentissage
verdict-under-trained = entraînement inachevé
verdict-catastrophic-forgetting = oubli catastrophique
outcome-supported = étayé
outcome-not-supported = non étayé
outcome-not-measured = non mesuré
verdicts-note = Surapprentissage : écart d'au moins { POINTS($gap) } à la dernière époque. Sous-apprentissage : exactitude d'entraînement inférieure à { PERCENT($low) } et qui ne progresse plus ; entraînement inachevé : elle progresse encore, de plus de { POINTS($plateau) } sur le dernier tiers des époques. Ces seuils sont fixés dans `params.yaml` ; les chiffres qui fondent chaque verdict figurent plus bas, expérience par expérience. Un chiffre proche de son seuil ne tranche guère.
evidence-overfitting = écart à la dernière époque : { POINTS($gap) } (seuil : { POINTS($threshold) })
evidence-low = exactitude d'entraînement à la dernière époque : { PERCENT($train_accuracy) }, sous le seuil de { PERCENT($threshold) } ; sur les images de la courbe, elle est passée de { PERCENT($before) } à { PERCENT($curve) } ({ CHANGE($rise) }) pendant le dernier tiers des époques
evidence-low-one-epoch = exactitude d'entraînement à la dernière époque : { PERCENT($train_accuracy) }, sous le seuil de { PERCENT($threshold) } ; une seule époque ne permet pas de dire si le réseau apprend encore
evidence-not-low = exactitude d'entraînement à la dernière époque : { PERCENT($train_accuracy) }, au moins égale au seuil de { PERCENT($threshold) }
evidence-catastrophic-forgetting = les exactitudes ne suffisent pas à le montrer : il faut celle de la tâche source, avant et après l'ajustement fin

claim-supported = étayée
claim-not-supported = non étayée
claim-not-measured = non mesurée
claim-contradicted = contredite
claim-supported-for-some-runs = étayée pour certaines expériences
claims = Les affirmations de l'étude d'origine face aux mesures
claims-note = Elles portent sur les expériences 1 à 3 de l'étude d'origine ; elles sont ici confrontées à `run1`, `run2` et `run3`, configurées comme indiqué plus bas. Des chaleurs relatives qui diffèrent de moins de { DECIMAL($heat, 1) } et des parts qui diffèrent de moins de { POINTS($shares) } ne penchent d'aucun côté ; une classe est rare quand elle se trouve dans la seconde moitié par le nombre d'images d'entraînement, et l'affirmation est contredite quand elle figure parmi les trois premières.
claim = Affirmation
measured-here = Mesuré ici
verdict = Verdict
claim-overfits = L'expérience 1 est en surapprentissage (entraînement 87 %, validation 43 %)
claim-memorised = L'expérience 1 a mémorisé le bruit de fond, l'éclairage et des pixels particuliers
claim-underfits = L'expérience 2 est en sous-apprentissage (validation 36 %, écart d'environ 10 points)
claim-generic-features = Les caractéristiques génériques d'ImageNet ne suffisent pas pour des classes subtiles telles que « joie-dégoût »
claim-forgets = L'expérience 3 subit un oubli catastrophique (validation 31 %) : l'ajustement fin a détruit l'acquis du préentraînement
claim-background = Les cartes s'activent souvent sur l'arrière-plan ou les cheveux plutôt que sur les yeux et la bouche
claim-rare = La classe « colère-dégoût » est rare
claim-fails = Le réseau échoue totalement sur la classe « colère-dégoût »
claim-biased = Le réseau est biaisé en faveur des classes fréquentes
claim-confused = Les émotions de géométrie voisine (bouche ouverte) sont confondues
claim-millions = Sans des millions d'images, un CNN profond ne peut pas apprendre ces micro-caractéristiques
measured-nothing = aucune mesure de ce rapport ne permet de trancher
measured-background = chaleur rapportée à la surface (1 = absence de préférence) : { $list }. On ne mesure pas si les cartes dépendent des poids
measured-background-run = { $name } : { DECIMAL($away, 2) } sur l'arrière-plan et les cheveux, { DECIMAL($facial, 2) } sur les yeux, les sourcils et la bouche
measured-no-regions = pas de carte des régions pour ces images : seul le centre se distingue du bord
measured-empty-maps = toutes les cartes d'une expérience sont vides
measured-no-area = ces images ne montrent aucune de ces zones : { $areas }
measured-rare = place par le nombre d'images d'entraînement : { $rank } sur { $classes } ici ({ $images } images), { $published } sur { $all } dans RAF-CE tel que publié ({ $published_images } images)
measured-fails = rappel en validation : { $list }
measured-fails-run = { $name } { PERCENT($recall) }
measured-no-image = la validation ne contient aucune image de cette classe
measured-biased = part des prédictions portant sur les trois classes les plus fréquentes, comparée à la part réelle de ces classes : { $list }
measured-biased-run = { $name } { PERCENT($predicted) } contre { PERCENT($true) }
measured-confused = { $list }. On ne mesure pas si c'est une géométrie qu'elles partagent
measured-confused-run = { $name } : dans { PERCENT($share) } des erreurs, la classe prédite a une émotion de base en commun avec la vraie classe ({ PERCENT($expected) } si les mauvaises réponses suivaient la fréquence des prédictions)
measured-one-size = un seul volume de données ; il faudrait une courbe d'apprentissage, en faisant varier le nombre d'images

## Protocole
value = Valeur
network = Réseau
network-value = ResNet-50 (torchvision), tête = dropout + couche linéaire
starting-weights = Poids de départ
random-weights = aléatoires
pretraining = Préentraînement sur les émotions de base
pretraining-value = { $epochs } { $epochs ->
    [one] époque
   *[other] époques
} sur { $train } émotions simples ; { PERCENT($accuracy) } de bonnes réponses sur leurs { $val } images de validation, qui ont aussi servi à choisir l'époque (classe majoritaire : { PERCENT($majority) })
images = Images
images-value = { $stored } px dans le jeu de données, entraînement à { $used } px
epochs-batch = Époques, taille de lot
optimiser = Optimiseur
optimiser-value = { $optimizer }, décroissance des poids (*weight decay*) { $decay }, taux d'apprentissage constants
precision = Précision numérique, fils d'exécution, graine
selection = Sélection
selection-value = meilleure exactitude de validation parmi les époques ; l'ensemble de test n'est évalué qu'une fois
trained-parts = Parties entraînées
learning-rates = Taux d'apprentissage corps / tête
mixup-alpha = Alpha de Mixup
augmentation = Augmentation
assumed = **Non précisé dans l'étude d'origine, choisi ici :** l'optimiseur et la décroissance des poids, les taux d'apprentissage constants, la taille de lot, le nombre d'époques, la précision numérique, la sélection par l'exactitude de validation, l'alpha de Mixup, les taux d'apprentissage des expériences 1 et 2, l'augmentation standard des expériences 2 et 3, { $pretraining }le choix des poids ImageNet{ $weights } et la taille des images en entrée du réseau.
assumed-pretraining = le préentraînement sur les émotions de base,{" "}
assumed-random = {" "}(aucun n'est utilisé ici : les réseaux partent de poids aléatoires)
assumed-random-basic = {" "}(aucun n'est utilisé ici : les réseaux partent de poids aléatoires puis des émotions de base)
fixed = L'étude d'origine précise ResNet-50 et des poids ImageNet ; pour l'expérience 2, Mixup, un dropout de 0,6 et les couches gelées ; pour l'expérience 3, les deux taux d'apprentissage et les parties entraînées.

## Données
class = Classe
rafce-name = Numéro et nom dans RAF-CE
train = Entr.
val = Val.
test = Test
published = RAF-CE tel que publié (entr. / val. / test)
share-percent = Part %
published-percent = Dans RAF-CE %
all = Total
basic-images = Émotions de base : { $train } pour l'entraînement, { $val } pour la validation, { $test } pour le test ;
basic-used = le préentraînement se fait sur les premières, le choix de l'époque sur les deuxièmes ; les troisièmes ne servent pas.
basic-unused = elles ne servent pas dans cette étude.
class-order = L'ordre des classes est celui de RAF-CE, fixé dans un seul module ; des tests vérifient que les numéros, les noms de dossiers, les axes des figures ci-dessous et la liste des classes enregistrée avec les poids concordent.
classes-alt = Part de chaque classe dans chaque ensemble, à côté de sa part dans RAF-CE ; { $most }, classe majoritaire ici : { PERCENT($here) } des images, { PERCENT($published) } dans RAF-CE
audit = Ce qui a été écarté, et la nature des fichiers
audit-note = Chaque image a été ouverte et vérifiée avant tout entraînement. Les nombres se lisent entraînement / validation / test.
reason = Motif
compound-by-split = Composées
basic-by-split = De base
reason-absent = fichier absent, ce que cette source admet
reason-missing = fichier manquant
reason-damaged = archive endommagée
reason-unreadable = image inutilisable
reason-truncated = fichier tronqué
reason-blank = une seule couleur
reason-other-class = classe hors de cette étude
reason-pixel-copy = pixels identiques : une autre copie est gardée
reason-near-copy = quasi-copie d'une image d'un autre ensemble
reason-same-person = personne présente dans un autre ensemble
left-out = { $number } des { $all } images annoncées sont écartées ; `data/extracted/dropped.csv` les nomme.
nothing-left-out = Aucune des { $all } images annoncées n'est écartée.
across-splits = Paires d'images entre ensembles
test-val = test et val.
test-train = test et entr.
val-train = val. et entr.
pairs-pixel-copy = pixels identiques
pairs-near-copy = quasi-copies (même photographie, cadrée, éclairée, légendée ou retournée autrement)
pairs-same-person = même personne
leakage-drop = De chaque paire, une seule image est gardée, par ordre de priorité : composée puis de base ; test, validation, entraînement.
leakage-error = De telles paires arrêtent l'étude : celles-ci ont été trouvées au sein d'un même ensemble.
leakage-warn = **Elles font partie des données** (`data.leakage: warn`) : les exactitudes de validation et de test portent en partie sur des images vues à l'entraînement.
other-label = Parmi les images écartées comme copies, { $number } portaient une autre étiquette que l'image gardée.
no-leakage = Aucune image, quasi-copie ou personne connue n'a été trouvée dans deux ensembles.
files = Fichiers : { $formats } ; modes : { $modes }.
one-size = Toutes mesurent { $width } × { $height } px.
sizes = { $different } tailles, de { $small } à { $large } px, le plus souvent { $most }.
units-known = Les unités d'action sont connues pour { PERCENT($compound) } des images composées et { PERCENT($basic) } des images de base.
soft-labels = { PERCENT($share) } des images composées ont des étiquettes pondérées (parts de six émotions) ; pour { PERCENT($agree) } d'entre elles, les deux émotions de l'étiquette sont les plus fortes.
no-soft-labels = Il n'y a pas d'étiquettes pondérées.
fingerprint = Empreinte des données : `{ $fingerprint }` (contenu, rôle, ensemble et étiquette de chaque image, quels que soient leur ordre et leur archive ; les poids la portent aussi).
licence-open = Les images et listes d'étiquettes de cette source peuvent figurer dans git.
licence-closed = Les images et listes d'étiquettes de cette source ne peuvent pas figurer dans git : elles restent dans le cache DVC.
sheet-note = Quelques images de chaque classe :
sheet-alt = Planche-contact : jusqu'à dix images de chaque classe, les classes composées d'abord

## Expériences
curves-alt = Exactitude par époque, entraînement et validation. Dernière époque : { $list }
curves-alt-run = { $name } entraînement { PERCENT($train) }, validation { PERCENT($val) }
curves-note = Exactitude par époque sur des images non augmentées. La courbe d'entraînement est mesurée sur un sous-ensemble de même taille que la validation : sa fin s'écarte un peu de l'exactitude d'entraînement des tableaux, mesurée sur toutes les images.
run-result = Époque { $epoch } retenue sur { $epochs }. Validation : { PERCENT($val) } (en répondant toujours la classe majoritaire : { PERCENT($majority) }) ; à la dernière époque, entraînement { PERCENT($last_train) }, validation { PERCENT($last_val) }.
outcome = Résultat
evidence = Mesures
confusion = Confusions
matrices-alt = Matrices de confusion en validation. Bonnes réponses : { $list }
matrices-alt-run = { $name } { $right } sur { $images }
matrices-note = Les nombres comptent des images ; la couleur est la part de la vraie classe, sa ligne.
best-on-test = La meilleure expérience en validation, { $name }, sur le test :
final-alt = Matrice de confusion de { $name } sur le test, exactitude { PERCENT($accuracy) }
errors-share = { $errors } erreurs en validation ; dans { PERCENT($share) } d'entre elles, la classe prédite a une émotion de base en commun avec la vraie classe ({ PERCENT($expected) } si les mauvaises réponses suivaient la fréquence des prédictions).
true = Vraie classe
predicted = Prédite
share-of-class = Part de la vraie classe %
bias = Biais en faveur des classes majoritaires
f1-alt = F1 par classe et par expérience en validation, classes rangées par nombre d'images d'entraînement ; le tableau suivant donne le rappel sur la classe la plus fréquente et la moins fréquente
frequent = Les trois classes les plus fréquentes à l'entraînement sont { $list }.
predictions-there = Prédictions dans ces classes %
images-there = Images de ces classes %
recall-most = Rappel sur { $class } (la plus fréquente) %
recall-least = Rappel sur { $class } (la moins fréquente) %
never-predicted = Jamais prédites

## Cartes d'activation de classe
attention-alt = Part de chaleur rapportée à la part de surface. { $list }
attention-alt-run = { $name } : { $shares }
attention-alt-area = { $area } { DECIMAL($ratio, 2) }
maps = Cartes { $method } de la classe prédite, calculées à { $layer }, grille de { $grid } × { $grid } cellules, sur { $images } images de validation, chaque carte ramenée à [0, 1] par la bibliothèque grad-cam ; les cartes vides sont laissées de côté.
regions-exact = Les zones sont connues exactement : elles sont dessinées avec le visage.
regions-none = Il n'existe pas de carte des régions pour ces images : le centre est le carré central de 60 % du côté.
relative = La chaleur relative est la part de chaleur divisée par la part de surface : 1 correspond à l'absence de préférence. On ne mesure ici ni si la carte dépend réellement des poids, ni si le réseau a besoin de ce qu'elle met en évidence.
area = Zone
heat-percent = Chaleur %
area-percent = Surface %
relative-head = Chaleur relative
area-eyes_brows = yeux + sourcils
area-nose = nez
area-mouth = bouche
area-other_face = reste du visage
area-hair = cheveux
area-background = arrière-plan
area-centre = centre
area-border = bord
empty-maps = cartes vides, laissées de côté
of = { $part } sur { $all }
gallery-note = Exemples de chaque classe, image puis superposition, par confiance décroissante : à gauche (✓) les bonnes réponses, à droite (✗) les mauvaises, avec la réponse et sa probabilité ; un tiret quand il n'y en a pas. Les classes y gardent leur nom anglais, celui de RAF-CE.
gallery-alt = Galerie de { $name } : exemples bien et mal classés de chaque classe, image et superposition
gallery-elsewhere = Les galeries (exemples bien et mal classés de chaque classe, image puis superposition) montrent des visages : elles se trouvent dans le cache DVC, `plots/runs/<run>/gallery.jpg`, et dans `report/report.html`.

## Conclusion
order = Classement par exactitude de validation : { $list } ; l'étude d'origine rapporte l'expérience 1 (43 %), l'expérience 2 (36 %), l'expérience 3 (31 %) sur RAF-CE.
order-run = { $name } ({ PERCENT($accuracy) })
other-images = Les images diffèrent ({ $source }) : les niveaux ne sont pas comparables, seul le comportement des expériences l'est.
best-reaches = Sur le test, la meilleure expérience en validation, { $name }, atteint { PERCENT($accuracy) } d'exactitude et { DECIMAL($f1, 3) } de macro-F1.
supports = { $name } : les mesures étayent le verdict – { $list }.
supports-none = { $name } : aucun verdict n'est étayé par les mesures.
claim-counts = Parmi les affirmations de l'étude d'origine : étayées { $supported }, étayées pour certaines expériences { $partly }, non étayées { $unsupported }, contredites { $contradicted }, non mesurées { $unmeasured }, sur ces données et avec ces réglages.

## Reproduire l'étude
reproduce-note = Avec le `params.yaml` de ce commit ; les images des sources autres que `synthetic` sont à mettre en place au préalable (`docs/data/`).
this-repository = ce dépôt
environment-comment = ou dvc repro, dans un environnement où requirements.txt est installé
verify-comment = refait l'étude de ce commit dans une copie propre et compare chaque résultat à celui qui est enregistré

## Figures
figure-epoch = Époque
figure-accuracy = Exactitude, %
figure-curves = Trait plein : validation. Tirets : entraînement. Images non augmentées
figure-validation = validation { PERCENT($accuracy) }
figure-test = { $name } : { $title }, test
figure-test-scores = exactitude { PERCENT($accuracy) }, macro-F1 { DECIMAL($f1, 3) }, { $images } images
figure-f1-axis = F1
figure-classes = Part de chaque classe par ensemble, à côté de RAF-CE tel que publié
figure-classes-axis = Part de l'ensemble, %
figure-train = entraînement
figure-val = validation
figure-test-split = test
figure-published = RAF-CE, tous ensembles
figure-f1 = F1 en validation par classe (nombre d'images d'entraînement)
figure-attention-axis = Part de chaleur / part de surface
figure-attention = Cartes d'activation : 1 = absence de préférence

## Classes
Happily_Surprised = Joie-surprise
Happily_Disgusted = Joie-dégoût
Sadly_Fearful = Tristesse-peur
Sadly_Angry = Tristesse-colère
Sadly_Surprised = Tristesse-surprise
Sadly_Disgusted = Tristesse-dégoût
Fearfully_Angry = Peur-colère
Fearfully_Surprised = Peur-surprise
Fearfully_Disgusted = Peur-dégoût
Angrily_Surprised = Colère-surprise
Angrily_Disgusted = Colère-dégoût
Disgustedly_Surprised = Dégoût-surprise
Happily_Fearful = Joie-peur
Happily_Sad = Joie-tristesse

## Titres de params.yaml, là où ils sont connus ; les autres s'impriment tels quels
known-naive-fine-tuning = Ajustement fin naïf
known-mixup-frozen-layers-dropout = Mixup, couches gelées, dropout
known-differential-fine-tuning = Ajustement fin différentiel
known-compound-emotions-with-resnet-50-three-training-regimes = Émotions composées avec ResNet-50 – trois régimes d'entraînement
