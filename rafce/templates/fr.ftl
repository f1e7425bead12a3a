# Toutes les phrases du rapport en français. Mêmes identifiants et mêmes valeurs que dans les autres catalogues.
# Les espaces insécables devant « : ; ! ? % » sont mises par le programme.

intro = Données : { $source }, { $classes } classes ({ $set }), { $train } images d'entraînement, { $val } de validation et { $test } de test. Toutes les mesures ci-dessous sont produites par `dvc repro` à partir de ce dépôt ; une affirmation qu'aucune mesure ne tranche n'est pas donnée pour vraie.

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
verdicts-note = Surapprentissage : à la dernière époque, un écart positif au-delà du hasard, et d'au moins { POINTS($gap) } ou accompagné d'une perte de validation supérieure d'au moins { PERCENT($loss) } à son minimum. Sous-apprentissage : exactitude d'entraînement inférieure à { PERCENT($low) } et qui ne progresse plus : une droite ajustée à la seconde moitié des époques monte d'au plus { POINTS($plateau) }, intervalle compris. Entraînement inachevé : une expérience plus longue fait mieux, ce qui demande une expérience plus longue. Oubli catastrophique : la tâche source et une sonde linéaire sur les caractéristiques perdent toutes deux, au-delà du hasard, au moins { POINTS($retention) } et { POINTS($probe) }. Instable : d'une graine à l'autre, l'écart-type de l'exactitude de validation atteint { POINTS($seeds) }. *Indécis* : mesuré, mais trop serré ; *non mesuré* : rien ici ne permet de le dire. Ces seuils sont fixés dans `params.yaml` ; les chiffres qui fondent chaque verdict, et ce qui le changerait, figurent plus bas, expérience par expérience.
evidence-overfitting = écart à la dernière époque : { POINTS($gap) } (intervalle à 95 % : { CHANGE($low) } à { CHANGE($high) }), seuil : { POINTS($threshold) } ; perte de validation supérieure de { PERCENT($loss_rise) } à son minimum, seuil : { PERCENT($loss_threshold) }. { $change }
evidence-low = exactitude d'entraînement à la dernière époque : { PERCENT($train_accuracy) }, sous le seuil de { PERCENT($threshold) } ; sur la seconde moitié des époques, elle a varié de { CHANGE($rise) } (intervalle à 95 % de la tendance : { CHANGE($low) } à { CHANGE($high) }), palier : { POINTS($plateau) }. { $change }
evidence-not-low = exactitude d'entraînement à la dernière époque : { PERCENT($train_accuracy) }, au moins égale au seuil de { PERCENT($threshold) }

claim-supported = étayée
claim-contradicted = contredite
claims = Les affirmations de l'étude d'origine face aux mesures
claims-note = Elles portent sur les expériences 1 à 3 de l'étude d'origine ; elles sont ici confrontées à `run1`, `run2` et `run3`, configurées comme indiqué plus bas. Chacune est tranchée par la règle qui l'accompagne, avec les nombres fixés dans `claims.yaml` ; quand les expériences se contredisent, elle reste indécise.
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
measured-background = parmi les images de validation dont la réponse n'est pas celle de l'image qui prête son arrière-plan : { $list }
measured-background-run = { $name } : { PERCENT($to_lender) } reçoivent cette réponse avec l'arrière-plan, { CHANGE($by) } par rapport au hasard (intervalle à 95 % : { CHANGE($low) } à { CHANGE($high) }), exactitude { CHANGE($change) }
measured-background-constant = { $name } donne toujours la même réponse aux deux
measured-no-regions = pas de carte des régions pour ces images : l'arrière-plan ne peut être ni distingué ni échangé
measured-unreliable = la dépendance n'est pas mesurée : `dvc exp run -S faithfulness.measure=true` le fait
measured-heat = chaleur rapportée à la surface (1 = absence de préférence), qui seule ne décide rien : { $list } ; { $rest }
measured-rare = place par le nombre d'images d'entraînement : { $rank } sur { $classes } ici ({ $images } images), { $published } sur { $all } dans RAF-CE tel que publié ({ $published_images } images)
measured-fails = rappel sur le test : { $list }
measured-fails-run = { $name } { PERCENT($recall) } (intervalle à 95 % : { PERCENT($low) } à { PERCENT($high) })
measured-no-image = aucune image de cette classe parmi celles évaluées
measured-biased = part des prédictions portant sur les trois classes les plus fréquentes, comparée à la part réelle de ces classes, en validation : { $list }
measured-biased-run = { $name } { PERCENT($predicted) } contre { PERCENT($true) } (intervalle à 95 % de la différence : { CHANGE($low) } à { CHANGE($high) })

## Evidence
verdict-unstable = instable
outcome-undecided = indécis
change-overfitting-supported = Il en irait autrement si l'écart tenait au hasard, ou s'il passait sous son seuil sans remontée de la perte
change-overfitting-not-supported = Il en irait autrement si l'intervalle de l'écart atteignait le seuil, ou si la perte remontait
change-overfitting-undecided = Davantage d'images trancheraient
change-underfitting-supported = Il en irait autrement si un entraînement plus long l'élevait
change-underfitting-not-supported = Elle progresse encore ; il en irait autrement si elle s'arrêtait sous le seuil
change-underfitting-undecided = Davantage d'époques trancheraient
evidence-low-few-epochs = exactitude d'entraînement à la dernière époque : { PERCENT($train_accuracy) }, sous le seuil de { PERCENT($threshold) } ; si peu d'époques ne permettent pas de dire si le réseau apprend encore
evidence-no-longer-run = aucune expérience plus longue n'a été menée ; { $trend }
evidence-longer = une expérience plus longue fait varier l'exactitude de validation de { CHANGE($by) } (intervalle à 95 % : { CHANGE($low) } à { CHANGE($high) })
trend = sur la seconde moitié des époques, l'exactitude d'entraînement a varié de { CHANGE($rise) } (intervalle à 95 % de la tendance : { CHANGE($low) } à { CHANGE($high) })
no-trend = trop peu d'époques pour une tendance
evidence-forgetting = { $list }. { $change }
evidence-retention = tâche source : { CHANGE($by) } (intervalle à 95 % : { CHANGE($low) } à { CHANGE($high) }), seuil : une perte de { POINTS($threshold) }
evidence-retention-unknown = tâche source non mesurable : pas de tête d'origine, pas d'images réservées, ou une exactitude qui ne dépassait pas le hasard au départ
evidence-probe = sonde linéaire sur les caractéristiques : { CHANGE($by) } (intervalle à 95 % : { CHANGE($low) } à { CHANGE($high) }), seuil : une perte de { POINTS($threshold) }
change-forgetting-supported = Il en irait autrement si l'une des deux avait gardé son exactitude
change-forgetting-not-supported = L'une au moins a gardé son exactitude ; il en irait autrement si les deux baissaient
change-forgetting-undecided = Davantage d'images réservées trancheraient
change-forgetting-not-measured = Il faut les deux
evidence-unstable = exactitude de validation sur { DECIMAL($seeds, 0) } graines : écart-type de { POINTS($deviation) } (intervalle à 95 % : { POINTS($low) } à { POINTS($high) }), seuil : { POINTS($threshold) }
evidence-one-seed = une seule graine ; il en faut plusieurs
claim-undecided = indécise
claim-not-testable = non vérifiable sur ces données
rule = { $number }. { $claim }. *Règle : { $rule }*
rule-learning-curve = la loi de puissance de l'erreur de la meilleure expérience sur le test prédit, intervalle compris, une exactitude sous { PERCENT($threshold) } avec { $images } images d'entraînement (contredite : au-dessus avec moins)
rule-verdict = le verdict sur { $run } – { $verdict }
rule-probe-recall = rappel de « { $emotion } » par une sonde linéaire sur les caractéristiques de départ, intervalle sous { PERCENT($threshold) } (contredite : au-dessus)
rule-background-memorised = sur les images d'entraînement de { $run }, échanger l'arrière-plan coûte plus de { POINTS($margin) }, intervalle compris (contredite : l'intervalle reste en dessous)
measured-memorised = variation de l'exactitude sur les images d'entraînement quand l'arrière-plan est celui d'une autre image : { CHANGE($change) } (intervalle à 95 % : { CHANGE($low) } à { CHANGE($high) }), en validation { CHANGE($val) } ; la bouche masquée, à l'entraînement, { CHANGE($mouth) } au-delà d'un masque égal ailleurs. Lumière et pixels ne sont pas examinés
rule-background-reliance = avec l'arrière-plan d'une autre image, la réponse devient celle de cette image, de plus de { POINTS($margin) } au-delà d'une réponse tirée au hasard, dans chaque expérience, intervalle compris (contredite : l'intervalle reste en dessous)
rule-class-rank = « { $emotion } » dans la seconde moitié par le nombre d'images d'entraînement (contredite : parmi les { $first } premières)
rule-recall-zero = aucune image de test de « { $emotion } » reconnue, dans aucune expérience (contredite : quelques-unes dans chacune)
rule-frequent-share = part des prédictions supérieure à la part des images dans les trois classes les plus fréquentes, de plus de { POINTS($margin) } et au-delà du hasard dans chaque expérience (contredite : intervalle au-dessous)
rule-shared-units = fréquence mise à part, les confusions suivent les unités d'action communes, y compris à émotions communes égales : p sous { DECIMAL($level, 2) } pour les deux dans chaque expérience
measured-heat-run = { $name } { DECIMAL($background, 2) } sur l'arrière-plan
measured-no-curve = un seul volume de données ; il faudrait une courbe d'apprentissage de ces images et réglages : `make learning-curve`
measured-curve = { $name } : l'erreur sur le test décroît comme la puissance { DECIMAL($exponent, 2) } (intervalle à 95 % : { DECIMAL($low, 2) } à { DECIMAL($high, 2) }) du nombre d'images d'entraînement, { $images } au plus ici ; si cela se poursuivait, exactitude : { $list }
measured-curve-at = { PERCENT($accuracy) } avec { $images } ({ PERCENT($low) } à { PERCENT($high) })
measured-curve-bent = { $name } : l'erreur sur le test en fonction du nombre d'images n'est pas une loi de puissance (p { DECIMAL($p, 4) }) ; rien n'est prédit
measured-no-class = cette classe n'est pas dans l'étude
measured-no-units = les unités d'action de ces images ne sont pas connues, ou aucune erreur ne permet de conclure
measured-probe-recall = { PERCENT($recall) } de { $images } images de test (intervalle à 95 % : { PERCENT($low) } à { PERCENT($high) }), sur les caractéristiques : { $source }
features-imagenet = ImageNet
features-basic = réseau entraîné sur les émotions simples, pas seulement ImageNet
features-other = autres poids de départ que ceux d'ImageNet
measured-units = corrélation de Mantel avec les unités d'action communes : { $list }
measured-units-run = { $name } { DECIMAL($r, 2) } (p { DECIMAL($p, 4) }), à émotions communes égales { DECIMAL($given_r, 2) } (p { DECIMAL($given_p, 4) })
uncertainty = Ce que ces chiffres ont de sûr
uncertainty-note = Sur { $images } images de test, entre parenthèses les intervalles à 95 % : Wilson pour les exactitudes, rééchantillonnage des images dans leurs classes pour les autres ({ $replicates } fois). Le macro-F1 est aussi donné sur les { $classes } classes d'au moins { $enough } images de test, car une image suffit à déplacer le F1 d'une classe de quatre. Émotions : dans un composé, chaque émotion simple juste compte pour moitié. ECE : erreur de calibration attendue ; Brier : de 0 à 2.
coverage-note = Sur { $simulations } études simulées avec ces effectifs et ces confusions, l'intervalle à 95 % du macro-F1 contenait la vraie valeur dans : { $list }.
coverage-run = { $name } { PERCENT($coverage) }
ci = { $value } ({ $low } à { $high })
test-accuracy-percent = Exactitude %
balanced-percent = Exactitude équilibrée %
macro-f1 = Macro-F1
macro-f1-ten = Macro-F1, classes de dix
top-two-percent = Top 2 %
ece = ECE
brier = Brier
emotions-percent = Émotions %
pairs-of-runs = Différences entre expériences
pairs-note = Sur les mêmes images de test ; la première moins la seconde. Exactitude : test exact de McNemar ; macro-F1 : test de permutation, où les deux réponses à une image échangent leurs places. La famille de tests est fixée d'avance : toutes les paires, les deux mesures ({ $tests } tests) ; p est ajusté par la méthode de Holm. Une seule graine : les tests connaissent le hasard des images, pas celui de l'entraînement.
pair = Expériences
difference-accuracy = Exactitude, points
only-right = Seule la première / seule la seconde juste
difference-f1 = Macro-F1
p-value = p
p-holm = p, Holm
one-run = Il n'y a qu'une expérience.
controls = Ce que contiennent les caractéristiques
controls-note = Une sonde linéaire (régression logistique multinomiale, régularisation choisie en validation) sur les caractéristiques qui précèdent la tête, évaluée sur le test : elle distingue une tête mal entraînée de caractéristiques abîmées. *Altérées* (d'après Kumar et al., 2022) : la sonde fait moins bien sur les caractéristiques ajustées que sur celles du départ, au-delà du hasard. Le tout à la dernière époque.
features-of = Caractéristiques
the-start = au départ
probe-percent = Sonde, test %
against-start = Par rapport au départ, points
distorted = Altérées
yes = oui
no = non
retention = Ce qui reste de la tâche source
retention-note = Tâche source : { $task }, { $images } images réservées, la tête d'origine sur le corps ajusté. Avant l'ajustement fin, { PERCENT($before) } étaient justes (intervalle à 95 % : { PERCENT($low) } à { PERCENT($high) } ; toujours la réponse la plus fréquente : { PERCENT($majority) }).
task-basic-emotions = les émotions simples
task-ImageNet = ImageNet
retention-none = Non mesurable : les poids de départ n'ont pas de tête pour une tâche source, ou il n'y a pas d'images réservées.
retention-chance = Non mesurable : cela ne dépasse pas clairement le hasard.
after-percent = Après %
change-points = Variation, points
drift = De combien les réseaux se sont déplacés
drift-note = CKA : alignement de noyaux centrés, linéaire et débiaisé, entre les caractéristiques moyennées en validation et celles du départ (1 = identiques à une rotation près). Poids, statistiques : variation relative des paramètres et des statistiques de normalisation de chaque partie, en pourcentage.
measure = Mesure
drift-cka = CKA
drift-weights = poids %
drift-statistics = statistiques %
calibration = Calibration
calibration-alt = Fiabilité sur le test : exactitude selon la confiance. { $list }
calibration-alt-run = { $name } : confiance moyenne { PERCENT($confidence) }, exactitude { PERCENT($accuracy) }
figure-calibration = Fiabilité sur le test : fréquence des réponses justes selon leur confiance
figure-confidence = Confiance, %
figure-perfect = parfaite
structure = Ce que suivent les confusions
structure-note = Confusions au-delà de ce qu'explique la fréquence (quasi-indépendance des erreurs), corrélées entre classes au nombre d'émotions simples communes et à la ressemblance des unités d'action (test de Mantel, { $permutations } permutations des classes, unilatéral) ; *à l'autre égal* : Mantel partiel.
shared-emotions = Émotions communes : r (p)
shared-units = Unités d'action communes : r (p)
emotions-given-units = Émotions, à unités égales
units-given-emotions = Unités, à émotions égales
excess = Confusions plus fréquentes que ne l'explique la fréquence, p ajusté sous { DECIMAL($level, 2) } : { $list }.
excess-item = { $name } : « { $true } » pris pour « { $predicted } » { $count } fois, { DECIMAL($expected, 1) } attendues
no-excess = Aucune confusion n'est plus fréquente que ne l'explique la fréquence, p ajusté sous { DECIMAL($level, 2) }.
errors-count = { $errors } erreurs en validation.
frequency = Rappel et fréquence
frequency-note = Régression logistique sur les images de validation : variation du log-rapport de cotes d'une réponse juste à chaque doublement des images d'entraînement d'une classe ; la classe est l'unité d'inférence.
slope = Log-cotes par doublement
predicted-more = Prédictions moins images, points

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
regions-landmarks = Les zones sont les enveloppes de 68 points de repère (dlib), trouvés dans { $found } images sur { $all } ; les autres sont laissées de côté. L'extérieur est tout ce qui dépasse la mâchoire et les sourcils : front, cheveux, arrière-plan.
regions-none = Il n'existe pas de carte des régions pour ces images : le centre est le carré central de 60 % du côté.
relative = La chaleur relative est la part de chaleur divisée par la part de surface : 1 correspond à l'absence de préférence ; entre parenthèses l'intervalle à 95 % sur les images. Elle ne dit pas si le réseau a besoin de ce que la carte met en évidence.
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
area-outside = hors du visage
area-centre = centre
area-border = bord
told-apart = Sur des cartes de cette grille, ces zones peuvent être distinguées, et figurent donc ici : { $list }.
none-told-apart = Sur des cartes de cette grille, aucune zone ne se distingue de ses voisines.
not-told-apart = Les autres ne le peuvent pas et sont laissées de côté : { $list }.
about-weights = Les dernières colonnes comparent avec les cartes d'un réseau aux poids aléatoires, sur les mêmes images : les visages sont au milieu et les contours attirent la chaleur quels que soient les poids. Ce qui n'en diffère pas au-delà du hasard ne dit rien de l'expérience ; c'est omis, comme tout ce qui concerne une expérience dont les cartes ne valent pas mieux, selon ROAD, que des cartes aléatoires (plus bas).
about-weights-unknown = On ne mesure pas ici quelle part de cela un réseau aux poids aléatoires montrerait aussi (faithfulness.measure).
withheld = omis
random-weights-head = Poids aléatoires
less-random-weights = Différence
right-less-wrong = Bonnes et mauvaises réponses
right-less-wrong-note = Chaleur relative des bonnes réponses moins celle des mauvaises, avec intervalle à 95 %.
units-heat = Unités d'action
units-heat-note = Chaleur relative sur la zone où se voit une unité d'action codée, dans les images qui l'ont moins dans celles qui ne l'ont pas, avec intervalle à 95 % : d'abord la moyenne sur les unités, puis les unités dont l'intervalle exclut 0.
units-heat-unknown = Les unités d'action de ces images ne sont pas connues, ou trop peu d'images les ont.
all-units = Moyenne des unités
more-heat = Plus de chaleur là où est l'unité
less-heat = Moins de chaleur là où est l'unité
unit-item = { $unit }, { $area } ({ DECIMAL($difference, 2) })
maps-tested = Les cartes parlent-elles du réseau ?
maps-tested-note = ROAD, sur { $images } images de validation : de combien la probabilité de la réponse baisse davantage quand on comble les pixels que la carte classe en tête que lorsqu'on comble les derniers ; moins la même mesure pour des cartes aléatoires, et pour une carte qui marque le milieu de l'image (si ce n'est pas au-dessus de 0, les cartes n'en disent pas plus que le milieu). Corrélation : des rangs des cellules d'une carte avec ceux de la carte de la même image quand tous les poids sont aléatoires, et avec la carte d'une autre image.
maps-untested = Non mesuré ici. `dvc exp run -S faithfulness.measure=true` l'ajoute, en quelques minutes.
less-random-maps = Moins cartes aléatoires
less-centre = Moins le milieu
random-correlation = Corrélation, poids aléatoires
other-image = Autre image
rests-on = Sur quoi reposent les réponses
rests-on-note = Exactitude sur les images telles quelles, et sa variation en points, avec intervalle à 95 %, quand l'arrière-plan est celui d'une autre image, flou ou gris ; parmi les images dont la réponse n'est pas celle de l'image qui prête l'arrière-plan, la part qui reçoit avec lui cette réponse, et de combien elle dépasse celle d'une image tirée au hasard ; exactitude sur l'arrière-plan seul, à côté de celle qu'on obtient en nommant toujours la classe majoritaire ; et sa variation quand les yeux et sourcils, la bouche ou les cheveux sont masqués, moins celle d'un masque égal ailleurs sur la tête (au-dessus de 0 : la zone coûte moins que ce masque). Autant d'images d'entraînement que de validation.
rests-on-no-regions = Non mesuré : il n'existe pas de carte des régions pour ces images, donc aucune partie ne peut être masquée ni échangée.
rests-on-unknown = Non mesuré ici. `dvc exp run -S faithfulness.measure=true` l'ajoute : une carte dit où un réseau a trouvé des indices, non s'il en a besoin.
split = Ensemble
unchanged-percent = Telles quelles %
swapped = Arrière-plan échangé
blurred = Arrière-plan flou
grey = Arrière-plan gris
only-background = Arrière-plan seul % (classe majoritaire)
follows = La réponse suit l'arrière-plan %, par rapport au hasard
eyes-covered = Yeux, sourcils masqués
mouth-covered = Bouche masquée
hair-covered = Cheveux masqués
mean-maps = Cartes moyennes
mean-maps-note = Chaleur moyenne par cellule (1 = uniforme) : toutes les images (Σ), bonnes réponses (✓), mauvaises (✗), classes, avec le nombre d'images. Si les régions sont connues, des lignes marquent leur place moyenne.
mean-maps-alt = Cartes moyennes de { $name } : toutes, bonnes, mauvaises, par classe
confusions-alt = Les confusions les plus fréquentes de { $name }, vraie classe à gauche, les erreurs les plus sûres d'abord
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
claim-counts = Parmi les affirmations de l'étude d'origine : étayées { $supported }, contredites { $contradicted }, indécises { $undecided }, non vérifiables { $untestable }, sur ces données et avec ces réglages.

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
figure-mean-map = { $name } : carte moyenne (1 = uniforme)
figure-less-first = { $name } moins { $first }
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
