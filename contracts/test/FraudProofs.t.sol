// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Coprocessor} from "../src/Coprocessor.sol";
import {IFraudProofs} from "../src/interfaces/IFraudProofs.sol";
import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {IVerifierRouter} from "../src/interfaces/IVerifierRouter.sol";
import {Claim, Evidence, Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";
import {TruthVerifier} from "./hostile/TruthVerifier.sol";

/// @title A signed lie costs its signer the stake, once, and nobody gains by lying to himself
contract FraudProofsTest is Deployment {
    bytes private constant INPUT = "x";
    bytes private constant OUTPUT = "the truth";
    bytes private constant LIE = "a lie";
    address private constant CHALLENGER = address(0xC4A11);
    address private constant THIEF = address(0xBAD);
    address private constant BURNT = 0x000000000000000000000000000000000000dEaD;
    uint256 private constant NEW_KEY = uint256(keccak256("new key"));

    Request private asked;

    function setUp() public override {
        super.setUp();
        truth.learn(modelId, INPUT, OUTPUT);
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 11, 0);
    }

    // ---- a signed claim, and a proof of another output --------------------------------------------------------

    function test_ALiarLosesTheStakeHalfToTheChallengerHalfToNobody() public {
        bytes[] memory signatures = signed(LIE, 0, 1);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        Claim memory claim = claimOf(asked, LIE);
        vm.expectEmit(address(frauds));
        emit IFraudProofs.LieProven(
            claim.requestId, operatorAt(0), CHALLENGER, keccak256(LIE), keccak256(OUTPUT), 0.5 ether, 0.5 ether
        );
        vm.assertEq(frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence), 1);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
        vm.assertEq(operators.owedTo(CHALLENGER), 0.5 ether);
        vm.assertEq(operators.owedTo(BURNT), 0.5 ether);
        vm.assertEq(frauds.wasSlashed(claim.requestId, operatorAt(0)), true);
        (,, bool isActive) = operators.signerAt(seatIndexOf(0));
        vm.assertEq(isActive, false);
        vm.prank(CHALLENGER);
        operators.withdrawOwed(payable(CHALLENGER));
        vm.assertEq(CHALLENGER.balance, 0.5 ether);
    }

    function test_AnOddWeiIsBurnt() public {
        vm.deal(operatorAt(0), 1);
        vm.prank(operatorAt(0));
        operators.addStake{value: 1}();
        proveWrong(LIE, signed(LIE, 0, 1), CHALLENGER);
        vm.assertEq(operators.owedTo(CHALLENGER), 0.5 ether);
        vm.assertEq(operators.owedTo(BURNT), 0.5 ether + 1);
    }

    function test_AWholeQuorumOfLiarsIsSlashedByOneProof() public {
        vm.assertEq(proveWrong(LIE, signed(LIE, 0, 3), CHALLENGER), 3);
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(operators.stakeOf(operatorAt(i)), 0);
        }
        vm.assertEq(operators.owedTo(CHALLENGER), 1.5 ether);
    }

    function test_WhoSignedTheTruthIsNeverSlashed() public {
        Claim memory claim = claimOf(asked, OUTPUT);
        bytes[] memory signatures = signed(OUTPUT, 0, 1);
        Evidence memory same = proofOf(asked, OUTPUT, THIEF);
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.SameOutput.selector, keccak256(OUTPUT)));
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, same);
        Evidence memory lie = proofOf(asked, LIE, THIEF);
        vm.expectPartialRevert(TruthVerifier.NotTrue.selector);
        frauds.proveWrong(claim, signatures, INPUT, LIE, lie);
        claim = claimOf(asked, LIE);
        Evidence memory empty = Evidence(PROOF, bytes.concat(bytes20(THIEF)));
        vm.expectRevert(TruthVerifier.NotProven.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, empty);
    }

    /// @dev The true output in any other bytes has another digest, and no proof may show it.
    function test_AnotherEncodingOfTheTruthProvesNothing() public {
        bytes[] memory signatures = signed(OUTPUT, 0, 1);
        bytes memory padded = bytes.concat(OUTPUT, hex"00");
        Evidence memory evidence = proofOf(asked, padded, THIEF);
        Claim memory claim = claimOf(asked, OUTPUT);
        vm.expectPartialRevert(TruthVerifier.NotTrue.selector);
        frauds.proveWrong(claim, signatures, INPUT, padded, evidence);
    }

    function test_NobodyIsSlashedTwiceForOneRequest() public {
        bytes[] memory signatures = signed(LIE, 0, 1);
        proveWrong(LIE, signatures, CHALLENGER);
        vm.deal(operatorAt(0), MIN_STAKE_WEI);
        vm.prank(operatorAt(0));
        operators.addStake{value: MIN_STAKE_WEI}();
        expectNobodySlashed(LIE, signatures);
        expectNobodySlashed("another lie", signed("another lie", 0, 1));
        equivocate(0, LIE, "another lie", IFraudProofs.NobodySlashed.selector);
        vm.assertEq(operators.stakeOf(operatorAt(0)), MIN_STAKE_WEI);
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 11, 0);
        vm.assertEq(proveWrong(LIE, signed(LIE, 0, 1), CHALLENGER), 1);
    }

    /// @dev Without stake it adds a wei, has it slashed by signing two other outputs, adds the stake, and lies.
    function test_NobodyBuysALieForDust() public {
        equivocate(0, "one", "two", 0);
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 11, 0);
        addStake(0, 1);
        equivocate(0, "one", "two", 0);
        vm.assertEq(frauds.wasSlashed(requestId(), operatorAt(0)), false);
        addStake(0, MIN_STAKE_WEI);
        coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 2));
        vm.assertEq(proveWrong(LIE, signed(LIE, 0, 2), CHALLENGER), 2);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
        expectNobodySlashed(LIE, signed(LIE, 0, 2));
    }

    function test_OfExactlyTheLeastStakeALieIsPaid() public {
        equivocate(0, "one", "two", 0);
        addStake(0, MIN_STAKE_WEI - 1);
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 11, 0);
        equivocate(0, "one", "two", 0);
        vm.assertEq(frauds.wasSlashed(requestId(), operatorAt(0)), false);
        addStake(0, MIN_STAKE_WEI);
        equivocate(0, "one", "two", 0);
        vm.assertEq(frauds.wasSlashed(requestId(), operatorAt(0)), true);
    }

    function test_TheSameSignatureTwiceSlashesOnce() public {
        bytes[] memory signatures = new bytes[](2);
        (signatures[0], signatures[1]) = (signed(LIE, 0, 1)[0], signed(LIE, 0, 1)[0]);
        vm.assertEq(proveWrong(LIE, signatures, CHALLENGER), 1);
        vm.assertEq(operators.owedTo(CHALLENGER), 0.5 ether);
    }

    /// @dev One liar who slashes itself first must not make the transaction that slashes all of them fail.
    function test_WhoWasSlashedBeforeSavesNobodyElse() public {
        proveWrong(LIE, signed(LIE, 1, 1), operatorAt(1));
        vm.assertEq(proveWrong(LIE, signed(LIE, 0, 3), CHALLENGER), 2);
        vm.assertEq(operators.owedTo(CHALLENGER), 1 ether);
    }

    function test_WhoProvesItsOwnLieLosesHalf() public {
        proveWrong(LIE, signed(LIE, 0, 1), operatorAt(0));
        vm.assertEq(operators.owedTo(operatorAt(0)), 0.5 ether);
        vm.assertEq(operators.owedTo(BURNT), 0.5 ether);
    }

    function test_ACopiedFraudProofRewardsItsProver() public {
        Claim memory claim = claimOf(asked, LIE);
        bytes[] memory signatures = signed(LIE, 0, 1);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        bytes memory stolen = bytes.concat(evidence.data);
        for (uint256 i; i < 20; ++i) {
            stolen[i] = bytes20(THIEF)[i];
        }
        vm.prank(THIEF);
        vm.expectRevert(TruthVerifier.NotProven.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, Evidence(PROOF, stolen));
        vm.prank(THIEF);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
        vm.assertEq(operators.owedTo(CHALLENGER), 0.5 ether);
        vm.assertEq(operators.owedTo(THIEF), 0);
    }

    function test_AProofOfOneRequestSlashesForNoOther() public {
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 11, 0);
        Claim memory claim = claimOf(asked, LIE);
        bytes[] memory signatures = signed(LIE, 0, 1);
        vm.expectRevert(TruthVerifier.NotProven.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
    }

    /// @dev What was signed for another Coprocessor, or on another chain, is not this one's business.
    function test_ASignatureForAnotherContractOrChainIsNobodys() public {
        Coprocessor other =
            Coprocessor(deployShipped("Coprocessor", abi.encode(models, router, address(0), address(0))));
        Claim memory claim = claimOf(asked, LIE);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(0), other.computeClaimDigest(claim));
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectPartialRevert(IFraudProofs.NotAnOperator.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
        signatures = signed(LIE, 0, 1);
        vm.chainId(block.chainid + 1);
        vm.expectPartialRevert(IFraudProofs.NotAnOperator.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
    }

    function test_AFraudProofNeedsTheInput() public {
        Claim memory claim = claimOf(asked, LIE);
        bytes[] memory signatures = signed(LIE, 0, 1);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectPartialRevert(TruthVerifier.InputMissing.selector);
        frauds.proveWrong(claim, signatures, "", OUTPUT, evidence);
        vm.expectPartialRevert(TruthVerifier.InputMissing.selector);
        frauds.proveWrong(claim, signatures, "another", OUTPUT, evidence);
        claim.inputDigest = keccak256("another");
        vm.expectPartialRevert(TruthVerifier.NotTrue.selector);
        frauds.proveWrong(claim, signatures, "another", OUTPUT, evidence);
    }

    function test_SignaturesOfNobodyAreRefused() public {
        Claim memory claim = claimOf(asked, LIE);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectRevert(IFraudProofs.NothingSigned.selector);
        frauds.proveWrong(claim, new bytes[](0), INPUT, OUTPUT, evidence);
        bytes[] memory signatures = new bytes[](1);
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NotAnOperator.selector, address(0)));
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
        signatures[0] = signDigest(NEW_KEY, claimDigestOf(asked, LIE));
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NotAnOperator.selector, vm.addr(NEW_KEY)));
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
    }

    function test_ARotatedKeyStillAccounts() public {
        bytes[] memory signatures = signed(LIE, 0, 1);
        bytes memory possession =
            signDigest(NEW_KEY, operators.computePossessionDigest(operatorAt(0), vm.addr(NEW_KEY)));
        vm.prank(operatorAt(0));
        operators.rotateSigner(vm.addr(NEW_KEY), possession);
        vm.assertEq(proveWrong(LIE, signatures, CHALLENGER), 1);
    }

    function test_WhoLeavesAccountsUntilTheStakeIsOut() public {
        bytes[] memory signatures = signed(LIE, 0, 2);
        for (uint256 i; i < 2; ++i) {
            vm.prank(operatorAt(i));
            operators.beginExit();
        }
        vm.warp(block.timestamp + UNBONDING_SECONDS);
        vm.prank(operatorAt(1));
        operators.withdrawStake(payable(operatorAt(1)));
        vm.assertEq(proveWrong(LIE, signatures, CHALLENGER), 1);
        vm.prank(operatorAt(0));
        operators.withdrawStake(payable(operatorAt(0)));
        vm.assertEq(operatorAt(0).balance, 0);
    }

    function test_WhoOwnsTheModelCannotForbidAFraudProof() public {
        models.deprecate(modelId);
        vm.assertEq(proveWrong(LIE, signed(LIE, 0, 1), CHALLENGER), 1);
    }

    function test_TheGuardianStopsSlashingByABrokenVerifier() public {
        vm.prank(GUARDIAN);
        router.stop(PROOF);
        Claim memory claim = claimOf(asked, LIE);
        bytes[] memory signatures = signed(LIE, 0, 1);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectPartialRevert(IVerifierRouter.SelectorStopped.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
        evidence.selector = QUORUM;
        vm.expectPartialRevert(IVerifierRouter.WrongKind.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
    }

    function test_ARewardForNobodyIsRefused() public {
        Claim memory claim = claimOf(asked, LIE);
        bytes[] memory signatures = signed(LIE, 0, 1);
        Evidence memory evidence = proofOf(asked, OUTPUT, address(0));
        vm.expectRevert(IOperatorRegistry.ZeroAddress.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
    }

    /// @dev Whatever gas the caller gives: slashed in full, with the reward, or nothing at all.
    function testFuzz_TooLittleGasChangesNothing(uint24 gas_) public {
        Claim memory claim = claimOf(asked, LIE);
        bytes[] memory signatures = signed(LIE, 0, 2);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        try frauds.proveWrong{gas: uint256(gas_) % 500_000}(claim, signatures, INPUT, OUTPUT, evidence) {} catch {}
        uint256 left = operators.stakeOf(operatorAt(0)) + operators.stakeOf(operatorAt(1));
        uint256 owed = operators.owedTo(CHALLENGER) + operators.owedTo(BURNT);
        vm.assertEq(left + owed, 2 ether);
        vm.assertTrue(left == 0 || owed == 0, "half a slashing");
    }

    // ---- two signed claims for one request --------------------------------------------------------------------

    function test_TwoOutputsForOneRequestCostTheStake() public {
        equivocate(0, OUTPUT, LIE, 0);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
        vm.assertEq(operators.owedTo(CHALLENGER), 0.5 ether);
        vm.assertEq(operators.owedTo(BURNT), 0.5 ether);
        equivocate(0, LIE, OUTPUT, IFraudProofs.NobodySlashed.selector);
    }

    function test_TwoKeysOfOneOperatorAreOneOperator() public {
        bytes memory first = signDigest(keyOf(0), claimDigestOf(asked, OUTPUT));
        bytes memory second = signDigest(NEW_KEY, claimDigestOf(asked, LIE));
        bytes memory possession =
            signDigest(NEW_KEY, operators.computePossessionDigest(operatorAt(0), vm.addr(NEW_KEY)));
        vm.prank(operatorAt(0));
        operators.rotateSigner(vm.addr(NEW_KEY), possession);
        frauds.proveEquivocation(claimOf(asked, OUTPUT), first, claimOf(asked, LIE), second);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
    }

    function test_OneOutputTwiceTwoRequestsOrTwoOperatorsAreNoEquivocation() public {
        equivocate(0, OUTPUT, OUTPUT, IFraudProofs.SameOutput.selector);
        Claim memory first = claimOf(asked, OUTPUT);
        Claim memory second = claimOf(asked, LIE);
        bytes memory mine = signDigest(keyOf(0), claimDigestOf(asked, OUTPUT));
        bytes memory theirs = signDigest(keyOf(1), claimDigestOf(asked, LIE));
        vm.expectPartialRevert(IFraudProofs.OtherOperator.selector);
        frauds.proveEquivocation(first, mine, second, theirs);
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 11, 0);
        second = claimOf(asked, LIE);
        theirs = signDigest(keyOf(0), claimDigestOf(asked, LIE));
        vm.expectPartialRevert(IFraudProofs.OtherRequest.selector);
        frauds.proveEquivocation(first, mine, second, theirs);
    }

    function test_AStrangersTwoOutputsAreNobodys() public {
        bytes memory first = signDigest(NEW_KEY, claimDigestOf(asked, OUTPUT));
        bytes memory second = signDigest(NEW_KEY, claimDigestOf(asked, LIE));
        Claim memory a = claimOf(asked, OUTPUT);
        Claim memory b = claimOf(asked, LIE);
        vm.expectPartialRevert(IFraudProofs.NotAnOperator.selector);
        frauds.proveEquivocation(a, first, b, second);
        vm.expectPartialRevert(IFraudProofs.NotAnOperator.selector);
        frauds.proveEquivocation(a, "", b, "");
    }

    // ---- deploying --------------------------------------------------------------------------------------------

    function test_ItIsTheRegistrysSlasherOrNothing() public {
        vm.assertEq(operators.slasher(), address(frauds));
        bytes memory creation =
            bytes.concat(vm.getCode("FraudProofs.sol:FraudProofs"), abi.encode(coprocessor, router, operators));
        address deployed;
        assembly {
            deployed := create(0, add(creation, 0x20), mload(creation))
        }
        vm.assertEq(deployed, address(0));
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function signed(bytes memory output, uint256 first, uint256 count) private view returns (bytes[] memory list) {
        bytes32 digest = claimDigestOf(asked, output);
        list = new bytes[](count);
        for (uint256 i; i < count; ++i) {
            list[i] = signDigest(keyOf(first + i), digest);
        }
    }

    function addStake(uint256 i, uint256 amountWei) private {
        vm.deal(operatorAt(i), amountWei);
        vm.prank(operatorAt(i));
        operators.addStake{value: amountWei}();
    }

    function proveWrong(bytes memory lie, bytes[] memory signatures, address challenger) private returns (uint256) {
        return frauds.proveWrong(claimOf(asked, lie), signatures, INPUT, OUTPUT, proofOf(asked, OUTPUT, challenger));
    }

    function expectNobodySlashed(bytes memory lie, bytes[] memory signatures) private {
        Claim memory claim = claimOf(asked, lie);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectPartialRevert(IFraudProofs.NobodySlashed.selector);
        frauds.proveWrong(claim, signatures, INPUT, OUTPUT, evidence);
    }

    /// @dev By the challenger; expects `reason` unless it is zero.
    function equivocate(uint256 i, bytes memory first, bytes memory second, bytes4 reason) private {
        Claim memory a = Claim(requestId(), modelId, keccak256(INPUT), keccak256(first));
        Claim memory b = Claim(requestId(), modelId, keccak256(INPUT), keccak256(second));
        bytes memory one = signDigest(keyOf(i), claimDigestOf(asked, first));
        bytes memory two = signDigest(keyOf(i), claimDigestOf(asked, second));
        if (reason != 0) vm.expectPartialRevert(reason);
        else vm.prank(CHALLENGER);
        frauds.proveEquivocation(a, one, b, two);
    }

    function requestId() private view returns (bytes32) {
        return coprocessor.computeRequestId(asked);
    }
}
