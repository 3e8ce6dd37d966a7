// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBlsKeys} from "../src/interfaces/IBlsKeys.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IFraudProofs} from "../src/interfaces/IFraudProofs.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Request} from "../src/libraries/Types.sol";
import {BlsDeployment} from "./BlsDeployment.sol";
import {vm} from "./Vm.sol";

/// @title Who signed with BLS keys what a committee ruled against loses the stake, too
contract BlsOutvotedTest is BlsDeployment {
    address private constant CHALLENGER = address(0xC0FFEE);

    bytes private lie = new bytes(22);
    bytes private truthful = new bytes(20);
    Request private asked;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        asked = ask(address(0xA11CE), "x", disputablePolicy(2, 7200), 1000, 0);
        id = coprocessor.computeRequestId(asked);
        coprocessor.deliver(asked, "x", lie, blsEvidenceOf(asked, lie, 2));
    }

    function test_AnOutvotedSumOfSignaturesCostsItsSignersTheStake() public {
        IFraudProofs.BlsSigned memory signed = signedByBoth(lie);
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NotReplaced.selector, id, IDisputes.Outcome.NONE));
        frauds.proveOutvotedTogether(asked, keccak256(lie), signed);
        ruleFor(truthful);
        vm.expectPartialRevert(IBlsKeys.NotSigned.selector);
        frauds.proveOutvotedTogether(asked, keccak256("third"), signed);
        vm.assertEq(frauds.proveOutvotedTogether(asked, keccak256(lie), signed), 2);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
        vm.assertEq(operators.owedTo(CHALLENGER), MIN_STAKE_WEI);
        vm.expectPartialRevert(IFraudProofs.NobodySlashed.selector);
        frauds.proveOutvotedTogether(asked, keccak256(lie), signed);
    }

    function test_WhoSignedTheRulingIsNotSlashed() public {
        ruleFor(truthful);
        IFraudProofs.BlsSigned memory signed = signedByBoth(truthful);
        vm.expectPartialRevert(IFraudProofs.SameOutput.selector);
        frauds.proveOutvotedTogether(asked, keccak256(truthful), signed);
    }

    function ruleFor(bytes memory output) private {
        address[] memory paid = new address[](2);
        (paid[0], paid[1]) = (operatorAt(0), operatorAt(1));
        vm.deal(CHALLENGER, 0.1 ether);
        vm.prank(CHALLENGER);
        disputes.open{value: 0.1 ether}(asked, paid);
        vm.roll(vm.getBlockNumber() + 3);
        disputes.draw(id);
        address[] memory members = disputes.infoOf(id).members;
        for (uint256 i; i < 5; ++i) {
            bytes32 commitment = disputes.computeCommitment(id, members[i], keccak256(output), 0);
            vm.prank(members[i]);
            disputes.commitVote(id, commitment);
        }
        for (uint256 i; i < 5; ++i) {
            vm.prank(members[i]);
            disputes.revealVote(id, keccak256(output), 0);
        }
    }

    function signedByBoth(bytes memory output) private view returns (IFraudProofs.BlsSigned memory signed) {
        signed.keys = new bytes[](2);
        (signed.keys[0], signed.keys[1]) = (publicKey(secretOf(0)), publicKey(secretOf(1)));
        signed.signature = signBls(addModOrder(secretOf(0), secretOf(1)), Bls.CLAIMS, claimDigestOf(asked, output));
    }
}
